/**
 * Runs an operation's machine: one call takes it as far as it can go without another answer. Pure: the caller commits what
 * comes out and only then sends the command, so that a command never runs that the store does not know of.
 */
import type { ErrorInfo } from '../error-info.js';
import type { Cursor, EventDraft, OperationDoc, OperationState, StepDoc, VmDoc } from '../model.js';
import type { ClusterView } from '../view.js';
import { CANCELLED, hostName, type CommandBody, type CommandOutcome, type Moment, type Next } from './machine.js';
import { retryDelay } from './retry.js';
import { machineOf, type AnyMachine } from './table.js';
import type { OperationArgs } from '../model.js';

export interface Answer {
  readonly hostId: string;
  readonly commandId: string;
  readonly outcome: CommandOutcome;
}

export interface PlannedCommand {
  readonly id: string;
  readonly operation: string;
  readonly hostId: string;
  readonly vmId: string;
  readonly vmUuid: string;
  readonly epoch: number;
  readonly body: CommandBody;
}

export interface Advance {
  readonly op: OperationDoc;
  readonly vm: VmDoc | undefined;
  /** False: nothing is different, nothing is to be committed. */
  readonly changed: boolean;
}

type AnyNext = Next<string, VmDoc | undefined>;

export const IDLE: Cursor = { step: '', attempt: 0, hostId: '', waiting: '', notBefore: 0 };

export function isFinished(op: OperationDoc): boolean {
  return op.state === 'succeeded' || op.state === 'failed' || op.state === 'cancelled';
}

export function commandIdOf(op: OperationDoc): string {
  return `${op.id}/${op.cursor.step}/${op.cursor.attempt}`;
}

/** An answer belongs to the step at work only if host and command id are both those that are waited for. */
export function isAwaited(op: OperationDoc, answer: Answer): boolean {
  return op.cursor.waiting === 'command' && answer.hostId === op.cursor.hostId && answer.commandId === commandIdOf(op);
}

/** The command that must be at work on a host now; the same whenever it is asked for. */
export function plannedCommand(op: OperationDoc, vm: VmDoc | undefined, view: ClusterView): PlannedCommand | undefined {
  if (op.cursor.waiting !== 'command' || isFinished(op)) return undefined;
  const body = machineOf(op.kind).command(op.cursor.step, momentOf(op, vm, view));
  return {
    id: commandIdOf(op),
    operation: op.id,
    hostId: op.cursor.hostId,
    vmId: vm?.record.id ?? '',
    vmUuid: vm?.record.uuid ?? '',
    epoch: vm?.record.epoch ?? 0,
    body,
  };
}

export function advance(
  op: OperationDoc,
  vm: VmDoc | undefined,
  view: ClusterView,
  answer: Answer | undefined,
): Advance {
  if (isFinished(op)) return { op, vm, changed: false };
  const machine = machineOf(op.kind);
  const { step, waiting } = op.cursor;
  if (step === '') return apply(op, vm, view, machine, machine.begin(momentOf(op, vm, view)), undefined);
  if (waiting === 'retry') return afterRest(op, vm, view, machine);
  const outcome = answer !== undefined && isAwaited(op, answer) ? answer.outcome : lostHost(op, view);
  if (outcome === undefined) return { op, vm, changed: false };
  return afterAnswer(op, vm, view, machine, outcome);
}

function afterAnswer(
  op: OperationDoc,
  vm: VmDoc | undefined,
  view: ClusterView,
  machine: AnyMachine,
  outcome: CommandOutcome,
): Advance {
  const { step, attempt } = op.cursor;
  const undoes = machine.steps[step]?.undoes === true;
  if (!outcome.ok && (undoes || !op.cancelRequested)) {
    const delay = retryDelay(outcome.error, attempt, undoes);
    if (delay !== undefined) {
      const cursor: Cursor = { ...op.cursor, attempt: attempt + 1, waiting: 'retry', notBefore: view.now + delay };
      const detail = `${outcome.error.message} Trying again, attempt ${attempt + 1}.`;
      return { op: { ...op, cursor, detail, outbox: [] }, vm, changed: true };
    }
  }
  return apply(op, vm, view, machine, machine.answered(step, outcome, momentOf(op, vm, view)), outcome);
}

/** A step that rests before its next attempt: the time is over, or somebody cancelled meanwhile. No command is at work. */
function afterRest(op: OperationDoc, vm: VmDoc | undefined, view: ClusterView, machine: AnyMachine): Advance {
  const { step } = op.cursor;
  if (op.cancelRequested && machine.steps[step]?.undoes !== true) {
    const outcome: CommandOutcome = { ok: false, error: CANCELLED, domain: undefined };
    return apply(op, vm, view, machine, machine.answered(step, outcome, momentOf(op, vm, view)), outcome);
  }
  if (view.now < op.cursor.notBefore) return { op, vm, changed: false };
  return { op: { ...op, cursor: { ...op.cursor, waiting: 'command', notBefore: 0 }, outbox: [] }, vm, changed: true };
}

/** A host whose record is gone will never answer. */
function lostHost(op: OperationDoc, view: ClusterView): CommandOutcome | undefined {
  if (view.host(op.cursor.hostId) !== undefined) return undefined;
  const message = `The host ${op.cursor.hostId} was removed while it worked on this.`;
  return { ok: false, error: { code: 'NOT_FOUND', message }, domain: undefined };
}

function apply(
  op: OperationDoc,
  vm: VmDoc | undefined,
  view: ClusterView,
  machine: AnyMachine,
  next: AnyNext,
  outcome: CommandOutcome | undefined,
): Advance {
  const steps = [...closeStep(op.steps, outcome, view.now), ...placeStep(next, view)];
  const placement = next.placement ?? op.placement;
  const error = next.error ?? op.error;
  if (next.next === 'command') {
    const rule = machine.steps[next.step];
    const state: OperationState = rule?.undoes === true ? 'undoing' : 'running';
    const started: StepDoc = { name: next.step, state, detail: next.detail, startTime: view.now, endTime: 0 };
    const cursor: Cursor = { step: next.step, attempt: 1, hostId: next.hostId, waiting: 'command', notBefore: 0 };
    const percent = Math.max(op.percent, rule?.from ?? 0);
    const running = { ...op, state, steps: [...steps, started], placement, error, cursor, percent };
    return { op: { ...running, detail: next.detail, outbox: [] }, vm: next.vm, changed: true };
  }
  const percent = next.state === 'succeeded' ? 100 : op.percent;
  const ended = { ...op, state: next.state, steps, placement, error, percent, detail: next.detail, endTime: view.now };
  const released = next.vm === undefined ? undefined : { ...next.vm, operationId: '' };
  return { op: { ...ended, cursor: IDLE, outbox: [endEvent(ended, vm, next, view)] }, vm: released, changed: true };
}

function closeStep(steps: readonly StepDoc[], outcome: CommandOutcome | undefined, now: number): readonly StepDoc[] {
  const last = steps.at(-1);
  if (last === undefined || outcome === undefined || last.endTime !== 0) return steps;
  const state = outcome.ok ? 'succeeded' : outcome.error.code === 'CANCELLED' ? 'cancelled' : 'failed';
  const detail = outcome.ok ? last.detail : outcome.error.message;
  return [...steps.slice(0, -1), { ...last, state, detail, endTime: now }];
}

/** The choice of a host is a step of its own for people, although it takes no time. */
function placeStep(next: AnyNext, view: ClusterView): readonly StepDoc[] {
  if (next.placement === undefined) return [];
  const { hostId, score } = next.placement;
  const detail = `${hostName(view, hostId)}, score ${score}`;
  return [{ name: 'place', state: 'succeeded', detail, startTime: view.now, endTime: view.now }];
}

function endEvent(
  op: OperationDoc,
  before: VmDoc | undefined,
  next: Extract<AnyNext, { next: 'done' }>,
  view: ClusterView,
): EventDraft {
  const kind = next.state === 'succeeded' ? (next.event ?? `${op.kind}.succeeded`) : `${op.kind}.${next.state}`;
  const reason = next.vm?.stateReason ?? '';
  const hostId = next.vm?.hostId === '' || next.vm === undefined ? (before?.hostId ?? '') : next.vm.hostId;
  return {
    key: `${op.id}/${next.state}`,
    time: view.now,
    kind,
    target: op.target,
    targetName: op.targetName,
    host: hostId === '' ? '' : hostName(view, hostId),
    actor: op.createdBy,
    message: endSentence(op, next.state, next.error ?? op.error, reason),
    operation: op.id,
    metadata: op.error === undefined ? {} : { code: op.error.code },
  };
}

function endSentence(op: OperationDoc, state: string, error: ErrorInfo | undefined, reason: string): string {
  if (state === 'succeeded') {
    return `${op.kind} of ${op.targetName} is done${reason === '' ? '' : `: ${reason}`}.`;
  }
  return `${op.kind} of ${op.targetName} ${state === 'cancelled' ? 'was cancelled' : 'failed'}: ${error?.message ?? ''}`;
}

function momentOf(
  op: OperationDoc,
  vm: VmDoc | undefined,
  view: ClusterView,
): Moment<OperationArgs, VmDoc | undefined> {
  return { op, args: op.args, vm, view, now: view.now };
}
