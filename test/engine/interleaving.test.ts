/**
 * Random interleavings of requests, answers, cuts, restarts of both sides, failures and what guests do by themselves.
 * Safety after every step; at the end, with everything healed, all comes to rest and records and domains agree.
 */
import fc from 'fast-check';
import t from 'tap';
import { OstlerError } from '../../proto/kit/errors.js';
import type { OperationArgs } from '../../controller/core/model.js';
import { isFinished } from '../../controller/core/operations/advance.js';
import { memoryCapacity } from '../../controller/core/view.js';
import { aRecord, id, uuid } from '../store/documents.js';
import { aCluster, allEvents, type Cluster } from './cluster.js';

const VMS = [1, 2, 3];
const HOSTS = [1, 2];

type Action =
  | { readonly do: 'submit'; readonly vm: number; readonly kind: number; readonly force: boolean }
  | { readonly do: 'answer' | 'repeat'; readonly host: number; readonly nth: number }
  | { readonly do: 'cut' | 'connect' | 'restart-agent' | 'libvirt'; readonly host: number }
  | { readonly do: 'restart-controller' | 'pass' | 'tick' }
  | { readonly do: 'cancel'; readonly nth: number }
  | { readonly do: 'fail'; readonly host: number; readonly kind: number; readonly code: number }
  | { readonly do: 'guest-off'; readonly vm: number };

const host = fc.constantFrom(...HOSTS);
const vm = fc.constantFrom(...VMS);
const small = fc.nat(5);
const action: fc.Arbitrary<Action> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant('submit' as const), vm, kind: fc.nat(8), force: fc.boolean() }) },
  { weight: 8, arbitrary: fc.record({ do: fc.constant('answer' as const), host, nth: small }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('repeat' as const), host, nth: small }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom('cut', 'connect', 'connect', 'restart-agent', 'libvirt'), host }),
  },
  { weight: 5, arbitrary: fc.record({ do: fc.constantFrom('restart-controller', 'pass', 'pass', 'tick') }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('cancel' as const), nth: small }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant('fail' as const), host, kind: fc.nat(3), code: fc.nat(2) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant('guest-off' as const), vm }) },
);

function argsOf(kind: number, force: boolean, n: number): OperationArgs {
  const kinds: readonly OperationArgs[] = [
    { kind: 'vm.create', record: aRecord(n), start: force },
    { kind: 'vm.create', record: aRecord(n), start: true },
    { kind: 'vm.start' },
    { kind: 'vm.stop', force, timeoutSeconds: 9, onTimeout: 'keep-running' },
    { kind: 'vm.reboot', force },
    { kind: 'vm.delete', force },
    { kind: 'vm.expunge', force },
    { kind: 'vm.update', changes: { description: 'x' } },
    { kind: 'vm.undelete' },
  ];
  return kinds[kind] ?? { kind: 'vm.start' };
}

const FAILING = ['provision', 'start', 'shutdown', 'expunge'] as const;
const CODES = ['HYPERVISOR_UNAVAILABLE', 'STORAGE_FULL', 'GUEST_TIMEOUT'] as const;

async function act(cluster: Cluster, one: Action, submitted: string[]): Promise<void> {
  const { agents, engine } = cluster;
  switch (one.do) {
    case 'submit':
      try {
        const op = await cluster.submit(id('i', one.vm), argsOf(one.kind, one.force, one.vm));
        submitted.push(op.id);
      } catch (error) {
        // A refusal is an answer; anything else is a bug.
        if (!(error instanceof OstlerError) || error.code === 'INTERNAL') throw error;
      }
      return;
    case 'answer':
      agents.runNext(id('h', one.host), one.nth);
      return;
    case 'repeat': {
      const ids = [...agents.host(id('h', one.host)).journal.keys()];
      agents.repeat(id('h', one.host), ids[one.nth % Math.max(1, ids.length)] ?? '');
      return;
    }
    case 'cut': {
      agents.cut(id('h', one.host));
      return;
    }
    case 'connect': {
      agents.connect(id('h', one.host));
      return;
    }
    case 'restart-agent': {
      agents.restart(id('h', one.host));
      return;
    }
    case 'libvirt':
      agents.host(id('h', one.host)).hypervisor = !agents.host(id('h', one.host)).hypervisor;
      {
        agents.inventory(id('h', one.host));
        return;
      }
    case 'restart-controller':
      return cluster.restart();
    case 'pass':
      return engine.pass();
    case 'tick':
      cluster.clock.advance(5000);
      return engine.pass({ tick: true });
    case 'cancel':
      if (submitted.length > 0) await engine.operations.cancel(submitted[one.nth % submitted.length] ?? '', 'ann');
      return;
    case 'fail':
      agents
        .host(id('h', one.host))
        .failures.set(FAILING[one.kind] ?? 'start', [{ code: CODES[one.code] ?? 'INTERNAL', message: 'injected' }]);
      return;
    case 'guest-off':
      for (const n of HOSTS) {
        const domain = agents.host(id('h', n)).domains.get(uuid(one.vm));
        if (domain?.state !== 'running') continue;
        agents.observe(id('h', n), uuid(one.vm), { state: 'shutoff', reason: 'shutdown' });
      }
      return;
  }
}

function unsafe(cluster: Cluster): string[] {
  const { store, agents, engine } = cluster;
  const wrong: string[] = [];
  const operations = [...store.list('operation')].map(({ value }) => value);
  for (const { id: vmId, value } of store.list('vm')) {
    const holders = operations.filter((op) => op.target === vmId && !isFinished(op));
    if (holders.length > 1) wrong.push(`${vmId} has ${holders.length} operations`);
    if (value.operationId !== (holders[0]?.id ?? '')) wrong.push(`${vmId} is held by ${value.operationId}`);
  }
  for (const op of operations) {
    if (isFinished(op) && op.cursor.waiting !== '') wrong.push(`${op.id} is over and waits for ${op.cursor.waiting}`);
  }
  const over = new Set(operations.filter(isFinished).map((op) => op.id));
  for (const n of HOSTS) {
    const fake = agents.host(id('h', n));
    for (const [command, count] of fake.runs) if (count > 1) wrong.push(`${command} ran ${count} times`);
    for (const { operation } of fake.waiting)
      if (over.has(operation ?? '')) wrong.push(`${operation ?? ''} left a command`);
    const entry = engine.view().host(id('h', n));
    const capacity = memoryCapacity(entry?.facts, engine.view().policy);
    if ((entry?.allocated.memoryBytes ?? 0) > capacity) wrong.push(`h${n} gave out more memory than it has`);
  }
  for (const n of VMS) {
    const running = HOSTS.filter((h) => agents.host(id('h', h)).domains.get(uuid(n))?.state === 'running');
    if (running.length > 1) wrong.push(`VM ${n} runs twice`);
  }
  return wrong;
}

async function heal(cluster: Cluster): Promise<void> {
  for (const n of HOSTS) {
    const fake = cluster.agents.host(id('h', n));
    fake.failures.clear();
    fake.hypervisor = true;
    cluster.agents.connect(id('h', n));
  }
  for (let second = 0; second < 20; second += 1) {
    await cluster.settle();
    cluster.clock.advance(7000);
    for (const n of HOSTS) cluster.agents.inventory(id('h', n));
    await cluster.engine.pass({ tick: true });
  }
}

function disagreements(cluster: Cluster): string[] {
  const wrong: string[] = [];
  for (const { value } of cluster.store.list('operation')) {
    if (!isFinished(value)) wrong.push(`${value.kind} (${value.id}) does not end: ${value.detail}`);
    const ends = allEvents(cluster.events).filter((event) => event.operation === value.id);
    if (ends.length !== 1) wrong.push(`${value.kind} (${value.id}) has ${ends.length} events of its end`);
  }
  const expected = { running: 'running', stopped: 'shutoff', created: 'shutoff', destroyed: 'shutoff' } as const;
  for (const { value } of cluster.store.list('vm')) {
    const where = value.hostId === '' ? undefined : cluster.agents.host(value.hostId).domains.get(value.record.uuid);
    if (value.settled === 'expunged' || value.settled === 'error') continue;
    const want = (expected as Readonly<Record<string, string>>)[value.settled];
    if (where?.state !== want)
      wrong.push(`${value.record.name} is ${value.settled}, its domain ${where?.state ?? 'absent'}`);
  }
  for (const n of HOSTS) {
    for (const domain of cluster.agents.host(id('h', n)).domains.values()) {
      const doc = cluster.store.get('vm', domain.vmId)?.value;
      if (doc?.hostId !== id('h', n)) wrong.push(`h${n} has an orphan: ${domain.vmId}`);
    }
    if (cluster.agents.host(id('h', n)).unacknowledged.size > 0) wrong.push(`h${n} keeps results for ever`);
  }
  return wrong;
}

void t.test('whatever happens in whatever order, it is safe and converges', async (t) => {
  const memoryBytes = 2 * 2 ** 30;
  await fc.assert(
    fc.asyncProperty(fc.array(action, { minLength: 10, maxLength: 80 }), async (actions) => {
      const cluster = await aCluster({ policy: { memoryReserveBytes: memoryBytes, purgeDelayMs: 3_600_000 } });
      const submitted: string[] = [];
      for (const one of actions) {
        await act(cluster, one, submitted);
        const wrong = unsafe(cluster);
        if (wrong.length > 0) throw new Error(`after ${JSON.stringify(one)}: ${wrong.join('; ')}`);
      }
      await heal(cluster);
      const wrong = [...unsafe(cluster), ...disagreements(cluster)];
      cluster.engine.close();
      if (wrong.length > 0) throw new Error(wrong.join('; '));
    }),
    { numRuns: Number(process.env['OSTLER_PROPERTY_RUNS'] ?? '200') },
  );
  t.pass('no counterexample');
});
