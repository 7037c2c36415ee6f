import t from 'tap';
import { NAME, startHotplugRig } from './hotplug-rig.js';

/** NICs of a running guest on real QEMU: a second one works on its network at once and leaves again; the first one stays. */
const rig = await startHotplugRig();
t.teardown(() => rig.down());

const MAC = '52:54:00:77:00:01';

void t.test('a secondary NIC comes, passes packets, and goes', async (t) => {
  t.match(await rig.ok(['vm', 'nic', 'add', NAME, `mac=${MAC}`, '--dry-run']), /Now: plug the NIC nic1 in/);
  t.equal(await rig.said(/EVENT nic-add eth1/), 0);
  await rig.ok(['vm', 'nic', 'add', NAME, `mac=${MAC},mtu=1400`]);
  await rig.says(new RegExp(`EVENT nic-add eth1 ${MAC}`)); // C-100, C-112, C-120
  const [, address = ''] = await rig.says(/EVENT ip eth1 (\S+)/); // C-112: DHCP answers on its subnet
  t.match(await rig.inGuest('cat /sys/class/net/eth1/mtu'), /^1400$/m);
  const ping = await rig.cluster.lab.exec('fabric', ['sh', '-c', `ping -c 1 -W 5 ${address} 2>&1 || true`]);
  t.comment(ping.stdout.split('\n')[1] ?? '');
  const rx = await rig.inGuest('cat /sys/class/net/eth1/statistics/rx_packets');
  t.ok(Number(rx) > 0, `C-112: the guest received ${rx.trim()} packets on it`);
  t.equal((await rig.show()).spec.nics.length, 2);

  await rig.ok(['vm', 'nic', 'remove', NAME, 'nic1']);
  await rig.says(/EVENT nic-remove eth1/); // C-113
  t.equal((await rig.show()).spec.nics.length, 1);
  t.notMatch(await rig.virsh('domiflist', rig.vmId), MAC);
});

void t.test('refusals change nothing', async (t) => {
  const before = await rig.show();
  t.match(
    await rig.refused(t, ['vm', 'nic', 'remove', NAME, 'nic0']),
    /first NIC nic0 cannot be removed/,
    'C-101, C-108',
  );
  const first = before.spec.nics[0]?.mac ?? '';
  const twice = await rig.cluster.ostler(['vm', 'nic', 'add', NAME, `mac=${first}`]);
  t.not(twice.code, 0, 'C-106: an address in use');
  t.match(twice.stderr, /belongs to another NIC/);
  const multicast = await rig.cluster.ostler(['vm', 'nic', 'add', NAME, 'mac=53:54:00:77:00:01']);
  t.match(multicast.stderr, /multicast/);
  const nowhere = await rig.cluster.ostler(['vm', 'nic', 'add', NAME, 'bridge=br-nowhere']);
  t.match(nowhere.stderr, /has no bridge br-nowhere/);
  t.same((await rig.show()).spec, before.spec);
  t.equal(await rig.said(/EVENT nic-add eth1/), 1, 'the guest saw none of it');
});
