import t from 'tap';
import { MIB, NAME, startHotplugRig } from './hotplug-rig.js';

/** Memory of a running guest on real QEMU: it grows in one virtio-mem device, and the guest can use it. */
const rig = await startHotplugRig(['--max-memory', '640MiB']);
t.teardown(() => rig.down());

const total = async (): Promise<number> =>
  Number(/\d+/.exec(await rig.inGuest('grep MemTotal /proc/meminfo'))?.[0]) / 1024;

void t.test('grow twice, and the guest uses it', async (t) => {
  const before = await total();
  const plan = await rig.ok(['vm', 'set', NAME, '--memory', '256MiB', '--dry-run']);
  t.match(plan, /Now: grow memory from 128 MiB to 256 MiB by virtio-mem/);
  t.notMatch(await rig.ok(['vm', 'set', NAME, '--memory', '256MiB']), /has taken/);
  t.ok((await total()) > before + 120, `C-060, C-109: ${await total()} MiB after ${before}, without a reboot`); // C-120
  t.notMatch(await rig.ok(['vm', 'set', NAME, '--memory', '512MiB']), /has taken/);
  t.ok((await total()) > before + 370, `C-109: ${await total()} MiB`);
  const used = await rig.inGuest(
    'mount -t tmpfs -o size=300m none /mnt 2>/dev/null || mkdir -p /mnt && mount -t tmpfs -o size=300m none /mnt; dd if=/dev/zero of=/mnt/big bs=1M count=280 2>&1; ls -l /mnt/big; rm /mnt/big',
  );
  t.match(used, new RegExp(String(280 * MIB)), 'C-109: more than it was started with is written to');
  t.match(await rig.show(), { state: 'RUNNING', spec: { memory: { sizeBytes: 512 * MIB } } });
});

void t.test('refusals change nothing', async (t) => {
  const before = await total();
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--memory', '256MiB']), /only gains memory/, 'C-111');
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--memory', '1GiB']), /maximum of 640 MiB/, 'C-109');
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--memory', '513MiB']), /steps of 2 MiB/);
  await rig.ok(['vm', 'set', NAME, '--max-memory', '64GiB']);
  const huge = await rig.cluster.ostler(['vm', 'set', NAME, '--memory', '60GiB']);
  t.not(huge.code, 0);
  t.match(huge.stderr, /cannot grow on h1, which has [^]*It is unchanged/, 'M-048, M-052: the host has no room');
  t.equal(await total(), before);
  t.match(await rig.ok(['vm', 'pending', NAME]), /max_size_bytes\s+next-start/, 'C-098');
});
