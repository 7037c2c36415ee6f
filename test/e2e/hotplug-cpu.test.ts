import t from 'tap';
import { NAME, startHotplugRig } from './hotplug-rig.js';

/** vCPUs of a running guest on real QEMU: they grow within the topology, the guest brings them online, nothing shrinks. */
const rig = await startHotplugRig([
  '--cpus',
  '1',
  '--max-cpus',
  '4',
  '--cores',
  '2',
  '--threads',
  '2',
  '--sockets',
  '1',
]);
t.teardown(() => rig.down());

void t.test('the plan is told before anything is done', async (t) => {
  const plan = await rig.ok(['vm', 'set', NAME, '--cpus', '3', '--dry-run']);
  t.match(plan, /Now: plug 2 vCPUs in, 1 → 3\./);
  t.match(await rig.virsh('vcpucount', rig.vmId, '--live', '--active'), /^1\s*$/, 'nothing was done');
});

void t.test('grow, and the guest has them online', async (t) => {
  const started = performance.now();
  await rig.ok(['vm', 'set', NAME, '--cpus', '3']);
  t.comment(`${Math.round(performance.now() - started)} ms`);
  await rig.says(/EVENT cpus 3/); // C-060, C-109, C-120, M-046: without a reboot
  t.match(await rig.inGuest('nproc'), /^3\s*$/, 'C-060: the guest itself counts them');
  const vm = await rig.show();
  t.match(vm, { state: 'RUNNING', spec: { cpu: { vcpus: 3, maxVcpus: 4 } } }, 'C-121: it runs on');
  t.match(await rig.virsh('vcpucount', rig.vmId, '--config', '--active'), /^3\s*$/, 'C-105: also at the next start');
  const xml = await rig.virsh('dumpxml', rig.vmId);
  t.match(xml, /sockets='1' dies='1' cores='2' threads='2'/, 'C-055, C-057: topology kept');
  t.match(await rig.ok(['vm', 'pending', NAME]), /Nothing is pending/);
});

void t.test('refusals change nothing', async (t) => {
  const before = await rig.show();
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--cpus', '2']), /only gains vCPUs[^]*Stop the VM first/, 'C-111');
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--cpus', '5']), /maximum of 4[^]*max_vcpus/, 'C-109, C-059');
  for (const flags of [
    ['--threads', '1', '--cores', '4'],
    ['--sockets', '2', '--cores', '1'],
    ['--cpu-model', 'qemu64'],
  ])
    t.match(await rig.refused(t, ['vm', 'set', NAME, ...flags]), /cannot be changed while the VM runs/, 'C-118');
  t.same((await rig.show()).spec, before.spec);
  t.match(await rig.inGuest('nproc'), /^3\s*$/);
});

void t.test('a new ceiling waits for the next start, and says so', async (t) => {
  await rig.ok(['vm', 'set', NAME, '--max-cpus', '8']);
  t.match(await rig.ok(['vm', 'pending', NAME]), /spec\.cpu\.max_vcpus\s+next-start\s+.*up to 8 vCPUs/, 'C-098');
  t.match(await rig.refused(t, ['vm', 'set', NAME, '--cpus', '6']), /started with room for 4/, 'C-109');
  await rig.ok(['stop', NAME, '--force', '--yes']);
  await rig.ok(['start', NAME]);
  await rig.says(/EVENT up \S+ media=disk cpus=3/, { seconds: 120 });
  t.match(await rig.virsh('vcpucount', rig.vmId, '--live', '--maximum'), /^8\s*$/, 'C-098, C-105');
  t.match(await rig.ok(['vm', 'pending', NAME]), /Nothing is pending/);
});

void t.test('down again while it is off', async (t) => {
  await rig.ok(['stop', NAME, '--force', '--yes']);
  await rig.ok(['vm', 'set', NAME, '--cpus', '1', '--max-cpus', '2', '--threads', '1']); // C-097, C-118, M-045, M-051
  await rig.ok(['start', NAME]);
  await rig.says(/EVENT up \S+ media=disk cpus=1/, { seconds: 120, count: 2 });
  t.match(await rig.virsh('dumpxml', rig.vmId), /cores='2' threads='1'/, 'C-056');
});
