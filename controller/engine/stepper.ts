import { OstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { OperationDoc, VmDoc } from '../core/model.js';
import { advance, isAwaited, isFinished, plannedCommand, type Answer } from '../core/operations/advance.js';
import type { Store, Stored, Write } from '../store/store.js';
import type { Agents } from './env.js';
import type { Executor } from './executors.js';
import type { Publish } from './publisher.js';
import type { ViewIndex } from './view-index.js';

/** Takes one operation as far as it goes: observe, decide, commit, then send. Called under the engine's lock. */
export type Stepper = (operationId: string) => Promise<void>;

export interface StepperDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly index: ViewIndex;
  readonly executor: Executor;
  readonly publish: Publish;
  readonly inbox: Map<string, Answer>;
  readonly fault: FaultPoint;
  readonly log: Log;
}

/** How often a decision is made anew when somebody else changed the VM's record meanwhile. */
const ROUNDS = 10;

export function createStepper(deps: StepperDeps): Stepper {
  return async (id) => {
    for (let round = 0; round < ROUNDS; round += 1) {
      if (await stepOnce(id, deps)) return;
    }
    throw new OstlerError('STORE_ERROR', `Operation ${id}: its documents changed ${ROUNDS} times in a row.`);
  };
}

/** False: a document changed between decision and commit; decide anew. */
async function stepOnce(id: string, deps: StepperDeps): Promise<boolean> {
  const { store, index, inbox, executor, publish, fault, log } = deps;
  const stored = store.get('operation', id);
  if (stored === undefined || isFinished(stored.value)) {
    settleInbox(id, deps);
    executor.forget(id);
    return true;
  }
  const vm = store.get('vm', stored.value.target);
  const held = vm?.value.operationId === id ? vm : undefined;
  const answer = inbox.get(id);
  const next = advance(stored.value, held?.value, index.view(), answer);
  if (next.changed) {
    fault('engine.decided');
    if (!(await commitStep(store, stored, held, next))) return false;
    fault('engine.committed');
    log.info(
      { operation: id, kind: next.op.kind, state: next.op.state, step: next.op.cursor.step, detail: next.op.detail },
      'operation advanced',
    );
    await publish(next.op);
  }
  if (answer !== undefined && !isAwaited(next.op, answer)) settleInbox(id, deps);
  const command = plannedCommand(next.op, next.vm, index.view());
  if (command === undefined) executor.forget(id);
  else executor.ensure(next.op, command);
  return true;
}

/** The answer is in the store, or nobody waits for it: the agent may forget it. */
function settleInbox(id: string, { inbox, agents, fault }: StepperDeps): void {
  const answer = inbox.get(id);
  if (answer === undefined) return;
  inbox.delete(id);
  fault('result.acknowledging');
  agents.acknowledge(answer.hostId, answer.commandId);
  fault('result.acknowledged');
}

async function commitStep(
  store: Store,
  stored: Stored<OperationDoc>,
  held: Stored<VmDoc> | undefined,
  next: { readonly op: OperationDoc; readonly vm: VmDoc | undefined },
): Promise<boolean> {
  const writes: Write[] = [{ kind: 'operation', id: stored.id, expect: stored.revision, put: next.op }];
  if (held !== undefined && next.vm !== undefined && next.vm !== held.value) {
    writes.push({ kind: 'vm', id: held.id, expect: held.revision, put: next.vm });
  }
  try {
    await store.commit(writes);
    return true;
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'STALE_ETAG') return false;
    throw error;
  }
}
