import t from 'tap';
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
const hostState = async (): Promise<string> => (await cluster.json<{ state: string }>(['host', 'show', 'h1'])).state;

void t.test('its absence is told within 2 s, its return is seen, and what happened meanwhile too', async (t) => {
  const created = await cluster.ostler(['vm', 'create', 'web1', '--image', 'guest', '--memory', '128MiB']);
  t.equal(created.code, 0, created.stderr);
  const { id } = await show('web1');
  await serialMatch(cluster, { host: 'h1', vmId: id, pattern: /EVENT up / });

  const stopped = performance.now();
  await cluster.lab.libvirtd('h1', 'kill');
  await eventually('HYPERVISOR_DOWN', 10, async () => {
    if ((await hostState()) !== 'HYPERVISOR_DOWN') throw new Error(await hostState());
  });
  // The command line itself needs some hundred milliseconds to ask.
  const told = performance.now() - stopped;
  t.ok(told < 3000, `told after ${Math.round(told)} ms, asking included`);
  t.match(await cluster.agent('h1').logText(), /libvirt/i);

  // The guest goes down while nobody watches: the edge is lost for ever, its effect must not be.
  const pid = (await cluster.lab.exec('h1', ['pgrep', '-f', `guest=${id}`])).stdout.trim().split('\n')[0] ?? '';
  await cluster.lab.exec('h1', ['kill', '-9', pid]);
  await cluster.lab.libvirtd('h1', 'start');
  await eventually('the VM shown as stopped', 15, async () => {
    const vm = await show('web1');
    if (vm.state !== 'STOPPED') throw new Error(`${vm.state} ${vm.stateReason ?? ''}`);
  });
  t.equal(await hostState(), 'ONLINE');
  const started = await cluster.ostler(['start', 'web1']);
  t.equal(started.code, 0, started.stderr);
  t.equal((await show('web1')).state, 'RUNNING');
});
