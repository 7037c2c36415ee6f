import t from 'tap';
import { ostler as wire } from '../../proto/gen/ostler.js';
import { fill } from './fixtures.js';
import { startFake, type Fake } from './fake-server.js';
import { ostler } from './harness.js';

/** Hardware of a VM: each verb changes one list of the spec under the etag that it read. */
const { DiskBus, DiskDevice } = wire.v1;
const GIB = 1024 ** 3;

async function filled(t: { teardown(undo: () => Promise<void>): void }): Promise<Fake> {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  return fake;
}

/** What the line asked the server for. */
async function asked(fake: Fake, line: readonly string[]): Promise<wire.v1.UpdateVmRequest> {
  const { code, stderr } = await ostler(fake, [...line]);
  if (code !== 0) throw new Error(stderr);
  return fake.requestOf('updateVm') as wire.v1.UpdateVmRequest;
}

void t.test('vm set names what is given', async (t) => {
  const fake = await filled(t);
  const line = ['vm', 'set', 'web1', '--cpus', '4', '--max-cpus', '8', '--memory', '4GiB', '--boot-order', 'nic0,root'];
  const request = await asked(fake, line); // C-097, C-098
  t.same(request.updateMask?.paths, [
    'spec.cpu.vcpus',
    'spec.cpu.max_vcpus',
    'spec.memory.size_bytes',
    'spec.boot_order',
  ]);
  t.match(request.values?.spec, {
    cpu: { vcpus: 4, maxVcpus: 8 },
    memory: { sizeBytes: 4 * GIB },
    bootOrder: ['nic0', 'root'],
  });
  t.equal((await ostler(fake, ['vm', 'set', 'web1', '--cpus', 'two'])).code, 2);
  t.equal((await ostler(fake, ['vm', 'set', 'web1', '--force-after', '--keep-running'])).code, 2);
});

void t.test('disks', async (t) => {
  const fake = await filled(t);
  const added = await asked(fake, ['vm', 'disk', 'add', 'web1', 'size=20GiB,bus=scsi']);
  t.same(added.updateMask?.paths, ['spec.disks']);
  t.equal(added.etag, 'e7', 'what changed in between is refused');
  const names = (request: wire.v1.UpdateVmRequest) => request.values?.spec?.disks?.map((disk) => disk.name);
  t.same(names(added), ['root', 'data1', 'data2'], 'a free name is found');
  t.match(added.values?.spec?.disks?.[2], { sizeBytes: 20 * GIB, bus: DiskBus.SCSI });
  const grown = await asked(fake, ['vm', 'disk', 'grow', 'web1', 'data1', '200GiB']);
  t.match(
    grown.values?.spec?.disks?.[1],
    { name: 'data1', sizeBytes: 200 * GIB, pool: 'fast' },
    'C-117: the rest stays',
  );
  const limited = await asked(fake, ['vm', 'disk', 'limit', 'web1', 'data1', 'read-iops=100,write=1MiB']);
  t.match(limited.values?.spec?.disks?.[1]?.limits, { readIops: 100, writeBytesPerSecond: 1024 ** 2, writeIops: 0 });
  const removed = await asked(fake, ['vm', 'disk', 'remove', 'web1', 'data1']);
  t.same([names(removed), removed.deleteVolumes], [['root'], false], 'C-115: its volume stays');
  const asking = await ostler(fake, ['vm', 'disk', 'remove', 'web1', 'data1', '--delete'], { stdin: 'y\n' });
  t.equal(asking.code, 2, 'what is lost is asked for');
  t.ok((await asked(fake, ['vm', 'disk', 'remove', 'web1', 'data1', '--delete', '--yes'])).deleteVolumes);
  t.equal((await ostler(fake, ['vm', 'disk', 'remove', 'web1', 'nothing'])).code, 3);
});

void t.test('NICs and media', async (t) => {
  const fake = await filled(t);
  const added = await asked(fake, ['vm', 'nic', 'add', 'web1', 'bridge=br-dmz,mtu=1400']); // C-100
  t.same(added.updateMask?.paths, ['spec.nics']);
  t.match(added.values?.spec?.nics?.[1], { name: 'nic1', bridge: 'br-dmz', mtu: 1400 });
  t.same((await asked(fake, ['vm', 'nic', 'remove', 'web1', 'nic0'])).values?.spec?.nics, []);
  const none = await ostler(fake, ['vm', 'cdrom', 'insert', 'web1', 'drivers']);
  t.match(none.stderr, /no CD-ROM drive/);
  const vm = fake.vms.get('web1')!;
  fake.vms.set('web1', {
    ...vm,
    spec: { ...vm.spec, disks: [{ name: 'root' }, { name: 'cd', device: DiskDevice.CDROM }] },
  });
  const put = await asked(fake, ['vm', 'cdrom', 'insert', 'web1', 'drivers']); // V-18
  t.match(put.values?.spec?.disks?.[1], { name: 'cd', image: 'drivers' });
  t.match((await asked(fake, ['vm', 'cdrom', 'eject', 'web1'])).values?.spec?.disks?.[1], { name: 'cd', image: '' });
});

void t.test('pending', async (t) => {
  const fake = await filled(t);
  t.match((await ostler(fake, ['vm', 'pending', 'web1'])).stderr, /Nothing is pending/);
  const sentence = 'At the next start: it can have up to 8 vCPUs (1 × 8 × 1).';
  const change = { field: 'spec.cpu.max_vcpus', time: wire.v1.ChangeTime.NEXT_START, sentence };
  fake.vms.set('web1', { ...fake.vms.get('web1'), pending: [change] });
  t.match(
    (await ostler(fake, ['vm', 'pending', 'web1'])).stdout,
    /spec\.cpu\.max_vcpus +next-start +At the next start/,
  );
});
