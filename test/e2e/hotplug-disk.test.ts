import t from 'tap';
import { MIB, NAME, startHotplugRig } from './hotplug-rig.js';

/** Disks of a running guest on real QEMU: the guest sees them come, grow and go, and what was written stays. */
const rig = await startHotplugRig(['--no-cloud-init']);
t.teardown(() => rig.down());

const sizeIn = (dev: string): Promise<string> => rig.inGuest(`cat /sys/block/${dev}/size`);
const pool = async (): Promise<string[]> =>
  (await rig.cluster.poolFiles('h1')).filter((file) => !file.includes('image')).sort();
const root = `ostler-${rig.vmId}-root.qcow2`;

void t.test('virtio: added, written to, grown, limited', async (t) => {
  await rig.ok(['vm', 'disk', 'add', NAME, 'name=data1,size=64MiB']);
  await rig.says(/EVENT disk-add vdb 131072/); // C-102, C-112, C-114, C-120: at once
  t.match(await rig.inGuest('cat /sys/block/vdb/serial'), /data1/, 'M-113: the guest knows it by its name');
  await rig.inGuest('head -c 1048576 /dev/urandom >/tmp/a && dd if=/tmp/a of=/dev/vdb bs=64k conv=fsync');
  await rig.ok(['vm', 'disk', 'grow', NAME, 'data1', '96MiB']);
  await rig.says(/EVENT disk-change vdb 196608/);
  t.match(await sizeIn('vdb'), /^196608$/m, 'C-117, M-033: grown while it runs');
  t.match(await rig.inGuest('head -c 1048576 /dev/vdb | cmp - /tmp/a && echo same'), /same/, 'nothing is lost');
  await rig.ok(['vm', 'disk', 'grow', NAME, 'root', '1GiB']);
  t.match(await sizeIn('vda'), /^2097152$/m, 'M-033: the root disk grows, too');

  await rig.ok(['vm', 'disk', 'limit', NAME, 'data1', 'write-iops=50,read=10MiB']);
  const tune = await rig.virsh('blkdeviotune', rig.vmId, 'vdb');
  t.match(tune, /write_iops_sec\s*: 50\n/);
  t.match(tune, /read_bytes_sec\s*: 10485760\n/);
  const slow = await rig.inGuest(
    'a=$(cut -d" " -f1 /proc/uptime); dd if=/tmp/a of=/dev/vdb bs=4k count=100 oflag=direct 2>/dev/null || ' +
      'for i in $(seq 100); do dd if=/tmp/a of=/dev/vdb bs=4k count=1 seek=$i conv=notrunc,fsync 2>/dev/null; done; ' +
      'echo $a $(cut -d" " -f1 /proc/uptime)',
  );
  const [begin = 0, end = 0] = slow.split(' ').map(Number);
  t.ok(end - begin > 0.5, `the guest feels the limit: 100 writes took ${(end - begin).toFixed(1)} s`);
  await rig.ok(['vm', 'disk', 'limit', NAME, 'data1', 'none']);
  t.match(await rig.virsh('blkdeviotune', rig.vmId, 'vdb'), /write_iops_sec\s*: 0\n/);
});

void t.test('SCSI: its controller comes along', async (t) => {
  await rig.ok(['vm', 'disk', 'add', NAME, 'name=logs,size=32MiB,bus=scsi']);
  await rig.says(/EVENT disk-add sda 65536/); // C-114
  t.match(await rig.inGuest('echo hello >/dev/sda; sync; head -c 5 /dev/sda'), /hello/);
  await rig.ok(['vm', 'disk', 'grow', NAME, 'logs', '48MiB']);
  await rig.inGuest('echo 1 >/sys/block/sda/device/rescan');
  t.match(await sizeIn('sda'), /^98304$/m, 'C-117: a rescan in the guest shows it');
  await rig.ok(['vm', 'disk', 'remove', NAME, 'logs', '--delete', '--yes']);
  await rig.says(/EVENT disk-remove sda/);
  t.same(await pool(), [`ostler-${rig.vmId}-data1.qcow2`, root], 'its volume is gone, as asked');
});

void t.test('a disk is taken out, kept, and given back', async (t) => {
  await rig.inGuest('dd if=/tmp/a of=/dev/vdb bs=64k conv=fsync');
  const said = await rig.ok(['vm', 'disk', 'remove', NAME, 'data1']);
  await rig.says(/EVENT disk-remove vdb/); // C-114, M-113: the guest has let it go
  const kept = `ostler-volume-${rig.vmId}-data1.qcow2`;
  t.match(said, `The volume of data1 is kept as ${kept}.`);
  t.same(await pool(), [root, kept].sort());
  t.notMatch(await rig.virsh('dumpxml', rig.vmId), /data1\.qcow2/);
  const listed = async (): Promise<Record<string, unknown>[]> => rig.cluster.json(['volume', 'list']);
  const facts = { name: kept, fromVm: rig.vmId, fromVmName: NAME, fromDisk: 'data1', hostName: 'h1' };
  t.match(await listed(), [{ ...facts, sizeBytes: 96 * MIB, format: 'qcow2' }], 'C-076: the kept volume is listed');

  await rig.ok(['vm', 'disk', 'add', NAME, `name=again,volume=${kept}`]); // C-076
  await rig.says(/EVENT disk-add vdb 196608/);
  t.match(await rig.inGuest('head -c 1048576 /dev/vdb | cmp - /tmp/a && echo same'), /same/, 'what was on it is on it');

  const create = ['vm', 'create', 'other', '--image', 'guest', '--memory', '96MiB', '--no-start'];
  const used = await rig.cluster.ostler([...create, '--disk', `name=x,volume=${kept}`]);
  t.equal(used.code, 4, 'C-076: a volume in use is refused');
  t.match(used.stderr, /is a disk of plug[^]*Take it out of that VM first[^]*vm disk remove plug again/);
  t.match(await listed(), [{ name: kept, usedBy: NAME }]);
  t.equal((await rig.ok(['volume', 'list', '--free', '-o', 'name'])).trim(), '', 'C-076: only unused ones are offered');
  t.notMatch((await pool()).join(' '), /ostler-i-(?!0)[a-z0-9]+-x/, 'and nothing of it is left');
});

void t.test('a snapshot of a disk whose letter has moved', async (t) => {
  await rig.ok(['vm', 'disk', 'add', NAME, 'name=late,size=32MiB']);
  await rig.says(/EVENT disk-add vdc 65536/);
  await rig.ok(['vm', 'disk', 'remove', NAME, 'again']);
  await rig.ok(['vm', 'disk', 'add', NAME, 'name=after,size=16MiB']);
  await rig.says(/EVENT disk-add vdb 32768/); // the letter that was free
  await rig.inGuest('echo -n BEFORE | dd of=/dev/vdc conv=fsync; echo -n other | dd of=/dev/vdb conv=fsync');
  await rig.ok(['snapshot', 'create', NAME, 'moved', '--disk', 'late', '--disk', 'after']);
  await rig.inGuest('echo -n BEHIND | dd of=/dev/vdc conv=fsync');
  const files = async (...flags: string[]): Promise<Record<string, string>> => {
    const lines = (await rig.virsh('domblklist', rig.vmId, ...flags)).trim().split('\n');
    return Object.fromEntries(lines.map((line) => line.trim().split(/\s+/) as [string, string]));
  };
  const live = await files();
  t.match(live, { vdb: /-after\.\d+\.qcow2$/, vdc: /-late\.\d+\.qcow2$/ });
  t.match(await files('--inactive'), live, 'libvirt would begin on the same files by itself');
  await rig.ok(['stop', NAME, '--force', '--yes']);
  await rig.ok(['start', NAME]);
  await rig.says(/EVENT up /, { count: 2 });
  await rig.agent();
  t.match(await rig.inGuest('head -c 6 /dev/vdb; head -c 5 /dev/vdc'), /BEHINDother/, 'in the order of the record');
  await rig.ok(['snapshot', 'delete', NAME, 'moved', '--yes']);
  t.match(await rig.inGuest('head -c 6 /dev/vdb; head -c 5 /dev/vdc'), /BEHINDother/, 'merged under the guest');
});

void t.test('refusals change nothing', async (t) => {
  const before = await rig.show();
  const files = await pool();
  t.match(
    await rig.refused(t, ['vm', 'disk', 'remove', NAME, 'root']),
    /boot disk root[^]*Delete the VM/,
    'C-103, C-115',
  );
  t.match(await rig.refused(t, ['vm', 'disk', 'grow', NAME, 'root', '64MiB']), /A disk only grows/, 'C-117');
  t.match(
    await rig.refused(t, ['vm', 'disk', 'add', NAME, 'name=s,size=8MiB,bus=sata']),
    /SATA has no hotplug/,
    'C-107',
  );
  const elsewhere = await rig.cluster.ostler(['vm', 'disk', 'add', NAME, 'name=s,size=8MiB,pool=nowhere']);
  t.not(elsewhere.code, 0, 'C-077: a pool that the host does not have');
  t.match(elsewhere.stderr, /no pool nowhere/);
  const gone = await rig.cluster.ostler(['vm', 'disk', 'add', NAME, 'name=s,volume=nothing.qcow2']);
  t.match(gone.stderr, /There is no volume/);
  t.match(await rig.refused(t, ['vm', 'disk', 'add', NAME, `name=s,volume=${root}`]), /file of this VM/);
  t.same((await rig.show()).spec, before.spec);
  t.same(await pool(), files);
});
