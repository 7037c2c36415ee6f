import { OstlerError } from '../../proto/kit/errors.js';
import type { Clock } from '../../proto/kit/clock.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import { runLoop } from '../../proto/kit/loop.js';
import { isAwaited, isFinished, type Answer } from '../core/operations/advance.js';
import type { OperationDoc } from '../core/model.js';
import { DEFAULT_POLICY, type ClusterView, type Policy } from '../core/view.js';
import { vmState } from '../core/vm-state.js';
import type { Store } from '../store/store.js';
import type { Agents, EventLog, Operations } from './env.js';
import { createExecutor } from './executors.js';
import { prune, purge, type Retention } from './housekeeping.js';
import { newId as randomId, type NewId } from './ids.js';
import { createLock } from './lock.js';
import { createPassQueue } from './pass.js';
import { createPublisher } from './publisher.js';
import { reconcileHost } from './reconciler.js';
import { recover } from './recovery.js';
import { createStepper } from './stepper.js';
import { submit } from './submit.js';
import { createViewIndex } from './view-index.js';
import { createWatchers } from './watchers.js';

export interface EngineOptions extends Partial<Retention> {
  readonly policy?: Partial<Policy>;
  /** How often everything is looked at without a reason, milliseconds; default 1000. */
  readonly tickMs?: number;
}

export interface EngineDeps {
  readonly store: Store;
  readonly events: EventLog;
  readonly agents: Agents;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault?: FaultPoint;
  readonly newId?: NewId;
}

export interface Engine {
  readonly operations: Operations;
  /** The present moment of the cluster, indexed: for the API's answers (allocation, host state). */
  view(): ClusterView;
  /** Repairs what a crash left and takes up unfinished operations, then runs until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** The two parts of `run`, for tests and the simulator. */
  recover(): Promise<void>;
  /** One pass over what was touched; `tick` touches everything and keeps house. */
  pass(options?: { readonly tick?: boolean }): Promise<void>;
  close(): void;
}

const TICK_MS = 1000;
const PRUNE_MS = 60_000;
const RETENTION: Retention = { retentionMs: 7 * 24 * 3600 * 1000, retentionCount: 10_000 };

export function createEngine(options: EngineOptions, deps: EngineDeps): Engine {
  const { store, events, agents, clock, log } = deps;
  const fault = deps.fault ?? noFaults;
  const policy: Policy = { ...DEFAULT_POLICY, ...options.policy };
  const retention: Retention = { ...RETENTION, ...options };
  const index = createViewIndex({ policy }, { store, agents, clock });
  const watchers = createWatchers({ store, clock });
  const executor = createExecutor({ agents, clock, fault });
  const publish = createPublisher({ events, fault });
  const inbox = new Map<string, Answer>();
  const lock = createLock();
  const step = createStepper({ store, agents, index, executor, publish, inbox, fault, log });
  const queue = createPassQueue({
    step: (id) => lock(() => step(id)),
    reconcile: (id) => lock(() => reconcileHost(id, { store, agents, events, index, clock, fault, log })),
    log,
  });
  let passing: Promise<void> = Promise.resolve();
  let kicked = false;
  let closed = false;
  let lastPrune = -Infinity;

  /** Runs a pass soon, unless one is waiting to run already. */
  function kick(): void {
    if (kicked || closed) return;
    kicked = true;
    passing = passing.then(() => {
      kicked = false;
      return queue.run();
    });
  }

  const stops = [agents.subscribe({ onResult, onProgress: watchProgress, onChange }), store.subscribe(onStored)];

  function onResult(hostId: string, commandId: string, outcome: Answer['outcome']): void {
    const id = commandId.split('/')[0] ?? '';
    const op = store.get('operation', id)?.value;
    const answer: Answer = { hostId, commandId, outcome };
    // An answer that nobody waits for belongs to a step that is over: the store has what came of it.
    if (op === undefined || !isAwaited(op, answer)) {
      agents.acknowledge(hostId, commandId);
      return;
    }
    inbox.set(id, answer);
    queue.touchOperation(id);
    kick();
  }

  function watchProgress(_hostId: string, commandId: string, progress: { percent: number; detail: string }): void {
    watchers.progress(commandId.split('/')[0] ?? '', commandId, progress);
  }

  function onChange(hostId: string): void {
    queue.touchHost(hostId);
    for (const id of index.active) {
      if (store.get('operation', id)?.value.cursor.hostId === hostId) queue.touchOperation(id);
    }
    kick();
  }

  /** A VM that was just released may have changed while it was held. */
  function onStored(changed: readonly { readonly kind: string; readonly id: string }[]): void {
    for (const { kind, id } of changed) {
      if (kind !== 'operation') continue;
      const op = store.get('operation', id)?.value;
      if (op === undefined || !isFinished(op)) continue;
      const hostId = store.get('vm', op.target)?.value.hostId ?? '';
      if (hostId !== '') queue.touchHost(hostId);
    }
  }

  const operations: Operations = {
    submit: async (request) => {
      const result = await lock(() =>
        submit(request, { store, index, executor, publish, newId: newIdOf(deps), fault }),
      );
      kick();
      return { ...result, operation: watchers.present(result.operation) };
    },
    cancel: (id) => lock(() => requestCancel(id)),
    wait: (id, waitOptions) => watchers.wait(id, waitOptions),
    present: (op) => watchers.present(op),
    vmState: ({ value }) => {
      const holder = value.operationId === '' ? undefined : store.get('operation', value.operationId)?.value;
      return vmState(value, holder, index.view().host(value.hostId));
    },
  };

  async function requestCancel(id: string): Promise<OperationDoc> {
    const stored = store.get('operation', id);
    if (stored === undefined)
      throw new OstlerError('NOT_FOUND', `There is no operation ${id}.`, { field: 'operation' });
    const { value } = stored;
    if (isFinished(value) || value.cancelRequested || value.state === 'undoing') return watchers.present(value);
    const cancelled: OperationDoc = { ...value, cancelRequested: true };
    fault('cancel.decided');
    await store.commit([{ kind: 'operation', id, expect: stored.revision, put: cancelled }]);
    fault('cancel.committed');
    queue.touchOperation(id);
    kick();
    return watchers.present(cancelled);
  }

  async function tick(): Promise<void> {
    for (const id of index.active) queue.touchOperation(id);
    for (const { hostId } of agents.views()) queue.touchHost(hostId);
    const now = clock.now();
    await purge(now, { store, index, submit: (request) => operations.submit(request), log });
    if (clock.monotonic() - lastPrune < PRUNE_MS) return;
    lastPrune = clock.monotonic();
    await lock(() => prune(now, retention, { store, fault }));
  }

  async function pass(passOptions: { readonly tick?: boolean } = {}): Promise<void> {
    if (passOptions.tick === true) await tick();
    kick();
    await passing;
  }

  return {
    operations,
    view: () => index.view(),
    recover: () => lock(() => recover({ store, publish, fault, log })),
    pass,
    run: async (signal) => {
      await lock(() => recover({ store, publish, fault, log }));
      await runLoop({ name: 'engine', intervalMs: options.tickMs ?? TICK_MS }, { clock, log, signal }, () =>
        pass({ tick: true }),
      );
      await passing;
    },
    close: () => {
      closed = true;
      stops.forEach((stop) => stop());
      index.close();
      watchers.close();
    },
  };
}

function newIdOf(deps: EngineDeps): NewId {
  return deps.newId ?? randomId;
}
