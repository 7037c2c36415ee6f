import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { eventService, hostService, vmService } from '../../proto/services.js';
import { startCluster } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch } from './serial.js';
import type { VmJson } from './vm-view.js';

/** libvirtd goes away and comes back under a running agent. */
const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const show = (name: string): Promise<VmJson> => cluster.json<VmJson>(['vm', 'show', name]);
const hosts = cluster.client(hostService);
const vms = cluster.client(vmService);
const { HostState } = ostler.v1;

/** Waits for a state of h1, and tells what was said about it. */
function hostIs(wanted: ostler.v1.HostState, seconds: number): Promise<string> {
  return eventually(
    `h1 ${HostState[wanted]}`,
    seconds,
    async () => {
      const { state, stateReason } = await hosts.getHost({ host: 'h1' });
      if (state !== wanted) throw new Error(`it is ${HostState[state]}: ${stateReason}`);
      return stateReason;
    },
    20,
  );
}

void t.test('its absence is told within 2 s, its return is seen, and what happened meanwhile too', async (t) => {
  const created = await cluster.ostler(['vm', 'create', 'web1', '--image', 'guest', '--memory', '128MiB']);
  t.equal(created.code, 0, created.stderr);
  const { id } = await show('web1');
  await serialMatch(cluster, { host: 'h1', vmId: id, pattern: /EVENT up / });

  const stopped = performance.now();
  const killed = cluster.lab.libvirtd('h1', 'kill');
  const reason = await hostIs(HostState.HYPERVISOR_DOWN, 10);
  const told = performance.now() - stopped;
  t.ok(told < 2000, `told after ${Math.round(told)} ms: ${reason}`);
  await killed;
  t.match(reason, /libvirt/i);
  t.match(await cluster.agent('h1').logText(), /libvirt/i);
  const shown = await show('web1');
  t.match(shown, { state: 'UNKNOWN' }, 'nobody knows whether it runs');
  // Asked for something meanwhile, it says why not.
  const refused = await cluster.ostler(['reboot', 'web1']);
  t.not(refused.code, 0);
  t.match(refused.stderr, /libvirt/i);

  // The guest goes down while nobody watches: the edge is lost for ever, its effect must not be.
  const pid = (await cluster.lab.exec('h1', ['pgrep', '-f', `guest=${id}`])).stdout.trim().split('\n')[0] ?? '';
  await cluster.lab.exec('h1', ['kill', '-9', pid]);
  await cluster.lab.libvirtd('h1', 'start');
  await eventually('the VM shown as stopped', 30, async () => {
    const vm = await show('web1');
    if (vm.state !== 'STOPPED') throw new Error(`${vm.state} ${vm.stateReason ?? ''}`);
  });
  await hostIs(HostState.ONLINE, 5);
  const started = await cluster.ostler(['start', 'web1']);
  t.equal(started.code, 0, started.stderr);
  t.equal((await show('web1')).state, 'RUNNING');
});

void t.test('stopped and started again and again: guests run on, and are the same afterwards', async (t) => {
  const { id } = await show('web1');
  const pid = async (): Promise<string> => (await cluster.lab.exec('h1', ['pgrep', '-f', `guest=${id}`])).stdout.trim();
  await serialMatch(cluster, { host: 'h1', vmId: id, pattern: /EVENT up /, count: 2 });
  const before = await pid();
  for (let round = 0; round < 3; round += 1) {
    await cluster.lab.libvirtd('h1', 'stop');
    await hostIs(HostState.HYPERVISOR_DOWN, 10);
    await cluster.lab.libvirtd('h1', 'start');
    await hostIs(HostState.ONLINE, 30);
    const live = await eventually('the VM as libvirt sees it', 10, () => vms.getVm({ vm: 'web1', live: true }));
    t.equal(live.live?.domainState, 'running', `round ${round}`);
    t.equal((await show('web1')).state, 'RUNNING');
  }
  t.equal(await pid(), before, 'the same QEMU');
  // A guest that shuts itself down afterwards is seen at once: the new connection has the events.
  await cluster.lab.exec('h1', ['virsh', 'shutdown', '--mode', 'acpi', id]);
  await eventually('the VM stopped', 60, async () => {
    const { state } = await show('web1');
    if (state !== 'STOPPED') throw new Error(state);
  });
  const { events } = await cluster.client(eventService).listEvents({ filter: `target=${id} kind=domain.stopped` });
  t.ok(events.length >= 1, events.map(({ message }) => message).join('; '));
});
