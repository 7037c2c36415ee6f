/** A controller engine on a memory store with simulated agents and a clock that stands still. */
import { silentLog } from '../../proto/kit/log.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { OperationArgs, OperationDoc } from '../../controller/core/model.js';
import type { Policy } from '../../controller/core/view.js';
import { createEngine, type Engine } from '../../controller/engine/engine.js';
import type { EventLog, EventRecord, SubmitRequest } from '../../controller/engine/env.js';
import { createMemoryEventLog } from '../../controller/store/event-memory.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import type { Store } from '../../controller/store/store.js';
import { aHost, anImage, aRecord, id, someFacts } from '../store/documents.js';
import { createFakeAgents, type FakeAgents } from './fake-agents.js';
import { createVirtualClock, type VirtualClock } from './virtual-clock.js';

export interface Cluster {
  readonly store: Store;
  readonly events: EventLog;
  readonly agents: FakeAgents;
  readonly clock: VirtualClock;
  engine: Engine;
  /** The controller process ends and another starts on the same store. */
  restart(): Promise<void>;
  submit(target: string, args: OperationArgs, change?: Partial<SubmitRequest>): Promise<OperationDoc>;
  create(n: number, change?: { readonly start?: boolean; readonly record?: Partial<VmRecord> }): Promise<OperationDoc>;
  /** Runs passes and every waiting command until nothing moves. */
  settle(): Promise<void>;
  /** The operation as it is now. */
  op(of: OperationDoc): OperationDoc;
  kinds(): string[];
}

export async function aCluster(
  options: { readonly hosts?: number; readonly policy?: Partial<Policy> } = {},
): Promise<Cluster> {
  const { hosts = 2 } = options;
  const clock = createVirtualClock();
  const store = createMemoryStore();
  const events = createMemoryEventLog({}, { clock });
  const agents = createFakeAgents({ clock });
  const make = (): Engine =>
    createEngine({ policy: options.policy ?? {} }, { store, events, agents, clock, log: silentLog });
  for (let n = 1; n <= hosts; n += 1) {
    await store.commit([{ kind: 'host', id: id('h', n), expect: 0, put: aHost(n) }]);
    agents.add(id('h', n), someFacts());
  }
  await store.commit([{ kind: 'image', id: id('img', 1), expect: 0, put: anImage(1) }]);
  const cluster: Cluster = {
    store,
    events,
    agents,
    clock,
    engine: make(),
    restart: async () => {
      cluster.engine.close();
      cluster.engine = make();
      await cluster.engine.recover();
    },
    submit: async (target, args, change = {}) => {
      const request: SubmitRequest = {
        target,
        args,
        requestId: '',
        requestHash: '',
        actor: 'ann',
        etag: '',
        validateOnly: false,
        ...change,
      };
      return (await cluster.engine.operations.submit(request)).operation;
    },
    create: (n, { start = true, record = {} } = {}) =>
      cluster.submit(id('i', n), { kind: 'vm.create', record: aRecord(n, record), start }),
    settle: async () => {
      for (let round = 0; round < 100; round += 1) {
        await cluster.engine.pass();
        let moved = false;
        for (let n = 1; n <= hosts; n += 1) if (agents.runNext(id('h', n))) moved = true;
        await cluster.engine.pass();
        if (!moved) return;
      }
      throw new Error('the cluster does not come to rest');
    },
    op: (of) => store.get('operation', of.id)?.value ?? of,
    kinds: () => [...allEvents(events)].reverse().map((event) => event.kind),
  };
  for (let n = 1; n <= hosts; n += 1) agents.connect(id('h', n));
  return cluster;
}

export function allEvents(events: EventLog): readonly EventRecord[] {
  return events.list({ beforeSequence: 0, limit: 100_000, matches: () => true });
}
