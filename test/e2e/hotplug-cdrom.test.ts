import t from 'tap';
import { NAME, startHotplugRig } from './hotplug-rig.js';
import type { VmJson } from './vm-view.js';

/** Media in a running guest's drive, and a guest that never lets a device go, on real QEMU. */
const rig = await startHotplugRig(['--disk', 'name=cd,device=cdrom,bus=scsi']);
t.teardown(() => rig.down());

/** The volume descriptor of an ISO image, as the guest reads it. */
const descriptor = (): Promise<string> =>
  rig.inGuest('dd if=/dev/sr0 bs=2048 skip=16 count=1 2>/dev/null | head -c 6 | tail -c 5; echo');

void t.test('a medium goes in and comes out', async (t) => {
  t.notMatch(await descriptor(), /CD001/, 'the drive is empty');
  await rig.ok(['vm', 'cdrom', 'insert', NAME, 'guest-iso']);
  t.match(await descriptor(), /CD001/, 'V-18: the guest reads it');
  t.match(await rig.virsh('domblklist', rig.vmId), /sda\s+\S+ostler-image-\S+\.iso/);
  const disk = await rig.cluster.ostler(['vm', 'cdrom', 'insert', NAME, 'guest']);
  t.not(disk.code, 0);
  t.match(disk.stderr, /is not an ISO/);
  await rig.ok(['vm', 'cdrom', 'eject', NAME]);
  t.notMatch(await descriptor(), /CD001/, 'it is out');
  t.match(await rig.refused(t, ['vm', 'disk', 'remove', NAME, 'cd']), /cannot be taken out of a running VM/, 'C-107');
});

void t.test('a guest that never answers: nothing is half done', async (t) => {
  // An installer's VM whose ISO was taken away: its firmware finds nothing to boot and listens to nobody.
  await rig.ok([
    'vm',
    'create',
    'deaf',
    '--iso',
    'guest-iso',
    '--disk-size',
    '8MiB',
    '--memory',
    '96MiB',
    '--no-start',
  ]);
  await rig.ok(['vm', 'cdrom', 'eject', 'deaf']);
  await rig.ok(['vm', 'disk', 'add', 'deaf', 'name=data1,size=8MiB']); // C-102, C-105: while it is off
  await rig.ok(['start', 'deaf']);
  const { id } = await rig.cluster.json<VmJson>(['vm', 'show', 'deaf']);
  t.match(await rig.virsh('domblklist', id), /vdb\s+\S+-data1\.qcow2/, 'C-105: it took effect at the start');
  const before = await rig.cluster.json<VmJson>(['vm', 'show', 'deaf']);
  const failed = await rig.cluster.ostler(['vm', 'disk', 'remove', 'deaf', 'data1', '--delete', '--yes']);
  t.not(failed.code, 0);
  t.match(failed.stderr, /did not let the disk data1 go within 30 s[^]*GUEST_TIMEOUT[^]*unmount it/, 'C-116');
  t.same((await rig.cluster.json<VmJson>(['vm', 'show', 'deaf'])).spec, before.spec);
  t.match(await rig.virsh('domblklist', id), /vdb\s+\S+-data1\.qcow2/, 'the disk is still there');
  t.match((await rig.cluster.poolFiles('h1')).join(' '), `ostler-${id}-data1.qcow2`, 'and so is its volume');
  await rig.ok(['vm', 'delete', 'deaf', '--expunge', '--force', '--yes']);
});
