import t from 'tap';
import { NAME, startHotplugRig } from './hotplug-rig.js';

/** Memory of a guest that is told to be another system than Linux: it grows by a DIMM; on real QEMU. */
const rig = await startHotplugRig([
  ...['--os', 'windows', '--disk-bus', 'virtio', '--nic', 'model=virtio', '--max-memory', '512MiB'],
  ...['--disk', 'name=data,size=8MiB,bus=virtio'],
]);
t.teardown(() => rig.down());

void t.test('a DIMM, and the guest has it online', async (t) => {
  const total = async (): Promise<number> =>
    Number(/\d+/.exec(await rig.inGuest('grep MemTotal /proc/meminfo'))?.[0]) / 1024;
  const before = await total();
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--memory', '192MiB']), /steps of 128 MiB/);
  const said = await rig.ok(['vm', 'set', NAME, '--memory', '256MiB']);
  t.match(await rig.virsh('dumpxml', rig.vmId), /<memory model='dimm'>/);
  t.ok((await total()) > before + 115, `C-109: ${await total()} MiB after ${before}`);
  t.notMatch(said, /has not brought/, 'C-060: the balloon driver confirms it');
  t.match(await rig.ok(['vm', 'pending', NAME]), /Nothing is pending/);
});
