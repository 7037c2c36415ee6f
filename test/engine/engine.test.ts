import t from 'tap';
import type { OperationArgs } from '../../controller/core/model.js';
import { aRecord, id, uuid } from '../store/documents.js';
import { aCluster, allEvents, type Cluster } from './cluster.js';

const stop: OperationArgs = { kind: 'vm.stop', force: false, timeoutSeconds: 90, onTimeout: 'keep-running' };
const VM = id('i', 1);

function vmOf(cluster: Cluster, n = 1) {
  const stored = cluster.store.get('vm', id('i', n));
  if (stored === undefined) throw new Error('no VM');
  return stored;
}

function stateOf(cluster: Cluster, n = 1): string {
  return cluster.engine.operations.vmState(vmOf(cluster, n)).state;
}

void t.test('a VM is created, placed and started; the store knew of each command first', async (t) => {
  const cluster = await aCluster();
  const op = await cluster.create(1);
  t.equal(op.state, 'running');
  t.equal(op.placement?.hostId, id('h', 1));
  t.equal(vmOf(cluster).value.record.epoch, 1, 'the assignment raised the epoch in the same commit');
  t.equal(stateOf(cluster), 'CREATING');
  t.same(cluster.agents.host(id('h', 1)).log, [`provision ${op.id}/provision/1`], 'sent before submit answered');
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING');
  const done = cluster.op(op);
  t.same(
    done.steps.map((step) => [step.name, step.state]),
    [
      ['place', 'succeeded'],
      ['provision', 'succeeded'],
      ['start', 'succeeded'],
    ],
  );
  t.equal(done.percent, 100);
  t.same(cluster.kinds(), ['vm.running']);
  t.equal(cluster.agents.host(id('h', 1)).unacknowledged.size, 0, 'the agent may forget its results');
  t.equal(vmOf(cluster).value.operationId, '');
});

// M-008
void t.test('without start a VM stays created and holds no memory', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1, { start: false });
  await cluster.settle();
  t.equal(stateOf(cluster), 'CREATED');
  t.equal(cluster.engine.view().host(id('h', 1))?.allocated.memoryBytes, 0);
  t.equal(cluster.engine.view().host(id('h', 1))?.allocated.vms, 1);
});

// C-122, C-124, C-125, C-126, C-127, M-016, M-017
void t.test('start, reboot, stop: each only from its state; a start sends the whole record', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  await t.rejects(cluster.submit(VM, { kind: 'vm.start' }), { code: 'WRONG_STATE', remedy: /.+/ });
  await cluster.submit(VM, { kind: 'vm.reboot', force: false });
  t.equal(stateOf(cluster), 'REBOOTING');
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING');
  const stopping = await cluster.submit(VM, stop);
  t.equal(stateOf(cluster), 'STOPPING');
  await t.rejects(cluster.submit(VM, stop), { code: 'OPERATION_RUNNING', metadata: { operation: stopping.id } });
  await cluster.settle();
  t.equal(stateOf(cluster), 'STOPPED');
  t.equal(cluster.engine.view().host(id('h', 1))?.allocated.memoryBytes, 0, 'C-126');
  await t.rejects(cluster.submit(VM, { kind: 'vm.reboot', force: false }), { code: 'WRONG_STATE' });
  await t.rejects(cluster.submit(VM, stop), { code: 'WRONG_STATE' });
  await cluster.submit(VM, { kind: 'vm.start' });
  const [command] = cluster.agents.host(id('h', 1)).waiting;
  t.equal(command?.start?.record?.name, 'web1', 'M-017');
  t.equal(stateOf(cluster), 'STARTING');
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING');
});

// C-014 … C-018, C-021
void t.test('what another system made is refused by hand, and allowed to that system', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1, { record: { createdBy: 'kube' } });
  await cluster.settle();
  const asked: OperationArgs[] = [
    stop,
    { kind: 'vm.reboot', force: false },
    { kind: 'vm.delete', force: false },
    { kind: 'vm.expunge', force: true },
    { kind: 'vm.update', changes: { description: 'x' } },
  ];
  for (const args of asked) {
    const expected = { code: 'WRONG_STATE', message: /managed by kube/, remedy: 'Change it in kube.' };
    await t.rejects(cluster.submit(VM, args), expected, args.kind);
  }
  await cluster.submit(VM, stop, { actor: 'kube' });
  await cluster.settle();
  t.equal(stateOf(cluster), 'STOPPED');
});

void t.test('a failed creation leaves nothing: no domain, no hold, the name free', async (t) => {
  for (const kind of ['provision', 'start'] as const) {
    const cluster = await aCluster();
    const host = cluster.agents.host(id('h', 1));
    host.failures.set(kind, [{ code: 'STORAGE_FULL', message: 'No room.' }]);
    const op = await cluster.create(1);
    await cluster.settle();
    const done = cluster.op(op);
    t.equal(done.state, 'failed');
    t.equal(done.error?.code, 'STORAGE_FULL');
    t.equal(stateOf(cluster), 'EXPUNGED');
    t.match(vmOf(cluster).value.stateReason, /No room/);
    t.equal(host.domains.size, 0);
    t.equal(cluster.engine.view().vmIdByName('web1'), undefined);
    t.same(cluster.kinds(), ['vm.create.failed']);
    await cluster.create(2, { record: { name: 'web1' } });
    await cluster.settle();
    t.equal(stateOf(cluster, 2), 'RUNNING');
  }
});

void t.test('an undo that fails for good says so and keeps the record; expunge removes it', async (t) => {
  const cluster = await aCluster();
  const host = cluster.agents.host(id('h', 1));
  host.failures.set('start', [{ code: 'HYPERVISOR_ERROR', message: 'No start.' }]);
  const broken = { code: 'STORAGE_ERROR', message: 'Disk is stuck.' };
  host.failures.set('expunge', [broken, broken, broken]);
  const op = await cluster.create(1);
  for (let second = 0; second < 20; second += 1) {
    await cluster.settle();
    cluster.clock.advance(1000);
    await cluster.engine.pass({ tick: true });
  }
  t.equal(cluster.op(op).state, 'failed');
  t.match(cluster.op(op).error?.message, /could not be undone: Disk is stuck/);
  t.equal(stateOf(cluster), 'ERROR');
  await cluster.submit(VM, { kind: 'vm.expunge', force: false });
  await cluster.settle();
  t.equal(stateOf(cluster), 'EXPUNGED');
  t.equal(host.domains.size, 0);
});

void t.test('a passing failure is tried again under another command id', async (t) => {
  const cluster = await aCluster();
  const host = cluster.agents.host(id('h', 1));
  host.failures.set('provision', [{ code: 'HYPERVISOR_UNAVAILABLE', message: 'libvirt is away.' }]);
  const op = await cluster.create(1);
  await cluster.settle();
  t.match(cluster.op(op).detail, /attempt 2/);
  await cluster.engine.pass({ tick: true });
  t.equal(host.waiting.length, 0, 'not before its time');
  cluster.clock.advance(1000);
  await cluster.engine.pass({ tick: true });
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING');
  t.same([...host.runs.keys()], [`${op.id}/provision/1`, `${op.id}/provision/2`, `${op.id}/start/1`]);
});

// M-019, M-021, M-022, M-023
void t.test('delete stops and keeps the disks, undelete brings back, the purge removes for good', async (t) => {
  const cluster = await aCluster({ policy: { purgeDelayMs: 60_000 } });
  await cluster.create(1);
  await cluster.settle();
  await cluster.submit(VM, { kind: 'vm.delete', force: false });
  t.equal(stateOf(cluster), 'DESTROYING');
  await cluster.settle();
  t.equal(stateOf(cluster), 'DESTROYED');
  const host = cluster.agents.host(id('h', 1));
  t.equal(host.domains.get(uuid(1))?.state, 'shutoff');
  t.ok(vmOf(cluster).value.record.deleteTime);
  await t.rejects(cluster.submit(VM, { kind: 'vm.start' }), { code: 'WRONG_STATE', remedy: /undelete/ });
  await cluster.submit(VM, { kind: 'vm.undelete' });
  await cluster.settle();
  t.equal(stateOf(cluster), 'STOPPED');
  t.equal(vmOf(cluster).value.record.deleteTime, undefined);
  await cluster.submit(VM, { kind: 'vm.delete', force: false });
  await cluster.settle();
  cluster.clock.advance(59_000);
  await cluster.engine.pass({ tick: true });
  await cluster.settle();
  t.equal(stateOf(cluster), 'DESTROYED', 'not before its time');
  cluster.clock.advance(2000);
  await cluster.engine.pass({ tick: true });
  await cluster.settle();
  t.equal(stateOf(cluster), 'EXPUNGED');
  t.equal(host.domains.size, 0);
  t.equal(allEvents(cluster.events)[0]?.actor, 'controller');
});

void t.test('the same request_id is one operation; with another request it is refused', async (t) => {
  const cluster = await aCluster();
  const args: OperationArgs = { kind: 'vm.create', record: aRecord(1), start: true };
  const request = { requestId: 'r1', requestHash: 'a' };
  const first = await cluster.submit(VM, args, request);
  const second: OperationArgs = { kind: 'vm.create', record: aRecord(2, { name: 'web1' }), start: true };
  t.equal((await cluster.submit(id('i', 2), second, request)).id, first.id);
  t.equal(cluster.store.get('vm', id('i', 2)), undefined);
  await cluster.settle();
  t.equal((await cluster.submit(VM, args, request)).id, first.id, 'also when it is over');
  await cluster.restart();
  t.equal((await cluster.submit(VM, args, request)).id, first.id, 'also after a restart');
  const other = cluster.submit(VM, args, { requestId: 'r1', requestHash: 'b' });
  await t.rejects(other, { code: 'REQUEST_ID_REUSED', metadata: { operation: first.id } });
});

void t.test('of concurrent requests for one VM one wins, the others are told which', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  const race = await Promise.allSettled(Array.from({ length: 10 }, () => cluster.submit(VM, stop)));
  const won = race.flatMap((one) => (one.status === 'fulfilled' ? [one.value.id] : []));
  t.equal(won.length, 1);
  for (const one of race) {
    if (one.status === 'rejected') t.match(one.reason, { code: 'OPERATION_RUNNING', metadata: { operation: won[0] } });
  }
});

void t.test('a stale etag, a taken name, an unknown image, a busy image: refused with nothing written', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  const { revision } = cluster.store;
  await t.rejects(cluster.submit(VM, stop, { etag: '1' }), { code: 'STALE_ETAG' });
  await t.rejects(cluster.create(2, { record: { name: 'WEB1' } }), { code: 'ALREADY_EXISTS', field: 'name' });
  const [disk] = aRecord(2).spec.disks;
  if (disk === undefined) throw new Error('no disk');
  const spec = { ...aRecord(2).spec, disks: [{ ...disk, image: id('img', 7) }] };
  await t.rejects(cluster.create(2, { record: { spec } }), { code: 'NOT_FOUND', field: 'spec.disks[0].image' });
  await t.rejects(cluster.submit(id('i', 9), stop), { code: 'NOT_FOUND' });
  t.equal(cluster.store.revision, revision);
  const used = { ...aRecord(2).spec, disks: [{ ...disk, image: id('img', 1) }] };
  await cluster.create(2, { record: { spec: used } });
  await cluster.settle();
  await t.rejects(cluster.submit(id('img', 1), { kind: 'image.delete' }), { code: 'IN_USE', message: /debian-1/ });
  await cluster.submit(VM, stop, { etag: String(vmOf(cluster).revision) });
});

void t.test('an image goes with its copies; a silent host does not hold that up', async (t) => {
  const cluster = await aCluster({ hosts: 3 });
  cluster.agents.cut(id('h', 2));
  const op = await cluster.submit(id('img', 1), { kind: 'image.delete' });
  t.equal(cluster.store.get('image', id('img', 1)), undefined);
  await cluster.settle();
  t.equal(cluster.op(op).state, 'succeeded');
  for (const [n, runs] of [
    [1, 1],
    [2, 0],
    [3, 1],
  ] as const) {
    t.equal(cluster.agents.host(id('h', n)).runs.size, runs);
  }
});

// M-010
void t.test('no host: refused with a reason for each, nothing written; the same for a dry run', async (t) => {
  const cluster = await aCluster();
  const memory = { sizeBytes: 64 * 2 ** 30, maxSizeBytes: 64 * 2 ** 30 };
  const record = { spec: { ...aRecord(1).spec, memory } };
  const expected = { code: 'NO_CAPACITY', metadata: { h1: /memory/, h2: /memory/ } };
  const { revision } = cluster.store;
  await t.rejects(cluster.create(1, { record }), expected);
  const args: OperationArgs = { kind: 'vm.create', record: aRecord(1, record), start: true };
  await t.rejects(cluster.submit(VM, args, { validateOnly: true }), expected);
  t.equal(cluster.store.revision, revision);
});

void t.test('validate_only tells placement and plan and writes nothing', async (t) => {
  const cluster = await aCluster();
  const { revision } = cluster.store;
  const result = await cluster.engine.operations.submit({
    target: VM,
    args: { kind: 'vm.create', record: aRecord(1), start: true },
    requestId: 'r',
    requestHash: '',
    actor: 'ann',
    etag: '',
    validateOnly: true,
  });
  t.equal(result.placement?.hostId, id('h', 1));
  t.same(result.plan, [
    `Place web1 on h1 (score ${result.placement?.score ?? 0}).`,
    'Make the blank disk root of 1 GiB in the default pool.',
    'Define the domain with 1 vCPUs and 512 MiB.',
    'Start web1.',
  ]);
  t.equal(cluster.store.revision, revision);
  t.same(cluster.agents.host(id('h', 1)).log, []);
});

void t.test('memory of starting VMs is held at once: concurrent creations never share it', async (t) => {
  const cluster = await aCluster();
  const memory = { sizeBytes: 3 * 2 ** 30, maxSizeBytes: 3 * 2 ** 30 };
  const make = (n: number) => cluster.create(n, { record: { spec: { ...aRecord(n).spec, memory } } });
  const all = await Promise.allSettled([1, 2, 3, 4, 5, 6].map(make));
  t.equal(all.filter((one) => one.status === 'fulfilled').length, 4, 'two on each host of 8 GiB');
  await cluster.settle();
  // A stopped VM gives its memory back; starting it again is checked again.
  const running = [...cluster.store.list('vm')].filter(({ value }) => value.settled === 'running');
  const [first] = running;
  if (first === undefined) throw new Error('nothing runs');
  await cluster.submit(first.id, stop);
  await cluster.settle();
  const seventh = await make(7);
  t.equal(seventh.placement?.hostId, first.value.hostId);
  await cluster.settle();
  await t.rejects(cluster.submit(first.id, { kind: 'vm.start' }), { code: 'NO_CAPACITY' });
});

void t.test('cancelling a creation undoes it; the command is cancelled at the agent', async (t) => {
  const cluster = await aCluster();
  const op = await cluster.create(1);
  const asked = await cluster.engine.operations.cancel(op.id, 'ann');
  t.equal(asked.cancelRequested, true);
  await cluster.settle();
  t.equal(cluster.op(op).state, 'cancelled');
  t.equal(stateOf(cluster), 'EXPUNGED');
  t.equal(cluster.agents.host(id('h', 1)).domains.size, 0);
  t.same(cluster.agents.host(id('h', 1)).log, [
    `provision ${op.id}/provision/1`,
    `cancel ${op.id}/provision/1`,
    `expunge ${op.id}/remove/1`,
  ]);
  t.equal((await cluster.engine.operations.cancel(op.id, 'ann')).state, 'cancelled', 'again is harmless');
});

void t.test('the controller restarts in the middle: the same command goes again and runs once', async (t) => {
  const cluster = await aCluster();
  const op = await cluster.create(1);
  await cluster.restart();
  await cluster.engine.pass({ tick: true });
  await cluster.settle();
  t.equal(cluster.op(op).state, 'succeeded');
  const host = cluster.agents.host(id('h', 1));
  t.ok([...host.runs.values()].every((count) => count === 1));
  t.equal(host.log.filter((line) => line.startsWith('provision')).length, 2);
  t.same(cluster.kinds(), ['vm.running'], 'one event');
});

void t.test('a host that falls silent: the operation waits, the VM says why, then both go on', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  cluster.agents.cut(id('h', 1));
  await cluster.engine.pass();
  const shown = cluster.engine.operations.vmState(vmOf(cluster));
  t.equal(shown.state, 'UNKNOWN');
  t.match(shown.reason, /h1 does not answer since/);
  await t.rejects(cluster.submit(VM, stop), { code: 'HOST_UNREACHABLE', metadata: { host: 'h1' } });
  cluster.agents.connect(id('h', 1));
  const op = await cluster.submit(VM, stop);
  cluster.agents.restart(id('h', 1));
  await cluster.settle();
  t.equal(cluster.op(op).state, 'succeeded');
});

void t.test('what happens on the host without us is found', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  const observe = async (change: object) => {
    cluster.clock.advance(10);
    cluster.agents.observe(id('h', 1), uuid(1), change);
    await cluster.engine.pass();
  };
  await observe({ state: 'shutoff', reason: 'shutdown', exitCause: 'guest-shutdown' });
  t.same(cluster.engine.operations.vmState(vmOf(cluster)), { state: 'STOPPED', reason: 'the guest shut itself down' });
  await observe({ state: 'running', reason: 'booted' });
  t.equal(stateOf(cluster), 'RUNNING');
  await observe({ state: 'paused', reason: 'ioerror' });
  t.equal(stateOf(cluster), 'PAUSED');
  await observe({ state: 'shutoff', reason: 'crashed', exitCause: 'guest-crash' });
  t.match(vmOf(cluster).value.stateReason, /crashed/);
  cluster.agents.host(id('h', 1)).domains.delete(uuid(1));
  await cluster.engine.pass({ tick: true });
  t.equal(stateOf(cluster), 'STOPPED', 'only a newer inventory proves that it is not there');
  cluster.clock.advance(10);
  cluster.agents.inventory(id('h', 1));
  await cluster.engine.pass();
  t.equal(stateOf(cluster), 'ERROR');
  await cluster.submit(VM, { kind: 'vm.start' });
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING', 'a start defines it again');
  t.same(cluster.kinds().slice(1), ['vm.stopped', 'vm.running', 'vm.paused', 'vm.stopped', 'vm.missing', 'vm.running']);
});

void t.test('while an operation holds a VM, only the operation changes its record', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  await cluster.submit(VM, { kind: 'vm.reboot', force: true });
  const { revision } = vmOf(cluster);
  cluster.agents.observe(id('h', 1), uuid(1), { state: 'shutoff', reason: 'destroyed' });
  await cluster.engine.pass({ tick: true });
  t.equal(vmOf(cluster).revision, revision);
  cluster.agents.observe(id('h', 1), uuid(1), { state: 'running', reason: 'booted' });
  await cluster.settle();
  t.equal(stateOf(cluster), 'RUNNING');
});

void t.test('a domain of a newer epoch is believed; an older copy is not', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.settle();
  const first = cluster.agents.host(id('h', 1)).domains.get(uuid(1));
  if (first === undefined) throw new Error('no domain');
  const second = cluster.agents.host(id('h', 2));
  second.domains.set(uuid(1), { ...first, epoch: 1, state: 'running' });
  cluster.agents.inventory(id('h', 2));
  await cluster.engine.pass();
  t.equal(vmOf(cluster).value.hostId, id('h', 1));
  t.match(cluster.kinds().at(-1), 'vm.stray');
  second.domains.set(uuid(1), { ...first, epoch: 9, state: 'running' });
  cluster.agents.inventory(id('h', 2));
  await cluster.engine.pass();
  t.equal(vmOf(cluster).value.hostId, id('h', 1), 'not while its own host has it: a host speaks for itself only');
  cluster.agents.host(id('h', 1)).domains.delete(uuid(1));
  cluster.clock.advance(10);
  cluster.agents.inventory(id('h', 1));
  cluster.agents.inventory(id('h', 2));
  await cluster.engine.pass();
  await cluster.engine.pass({ tick: true });
  t.equal(vmOf(cluster).value.hostId, id('h', 2));
  t.equal(vmOf(cluster).value.record.epoch, 9);
  t.equal(stateOf(cluster), 'RUNNING');
});

void t.test('wait answers at the end, at the first change, or when its time is over', async (t) => {
  const cluster = await aCluster();
  const op = await cluster.create(1);
  const { signal } = new AbortController();
  const wait = (untilChange: boolean, timeoutMs = 60_000) =>
    cluster.engine.operations.wait(op.id, { timeoutMs, untilChange, signal });
  const late = wait(false, 500);
  cluster.clock.advance(500);
  t.equal((await late).state, 'running');
  const [change, end] = [wait(true), wait(false)];
  cluster.agents.runNext(id('h', 1));
  t.equal((await change).cursor.step, 'start');
  await cluster.settle();
  t.equal((await end).state, 'succeeded');
  t.equal((await wait(true)).state, 'succeeded');
  await t.rejects(cluster.engine.operations.wait('op-nothing', { timeoutMs: 1, untilChange: false, signal }), {
    code: 'NOT_FOUND',
  });
});

void t.test('names, description and labels change on the host first', async (t) => {
  const cluster = await aCluster();
  await cluster.create(1);
  await cluster.create(2);
  await cluster.settle();
  await t.rejects(cluster.submit(VM, { kind: 'vm.update', changes: { name: 'web2' } }), { code: 'ALREADY_EXISTS' });
  const changes = { name: 'front', displayName: '앞', labels: { tier: 'front' } };
  await cluster.submit(VM, { kind: 'vm.update', changes });
  t.equal(stateOf(cluster), 'RUNNING', 'it shows no working state');
  await cluster.settle();
  t.match(vmOf(cluster).value.record, changes);
  t.equal(cluster.engine.view().vmIdByName('web1'), undefined);
  t.equal(cluster.engine.view().vmIdByName('front'), VM);
});

void t.test('finished operations and expunged VMs are dropped after their time', async (t) => {
  const cluster = await aCluster();
  const op = await cluster.create(1);
  await cluster.settle();
  await cluster.submit(VM, { kind: 'vm.expunge', force: true });
  await cluster.settle();
  cluster.clock.advance(8 * 24 * 3600 * 1000);
  await cluster.engine.pass({ tick: true });
  t.equal(cluster.store.get('operation', op.id), undefined);
  t.equal(cluster.store.get('vm', VM), undefined);
});
