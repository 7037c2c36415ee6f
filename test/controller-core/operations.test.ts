import t from 'tap';
import type { OperationArgs, OperationDoc, VmDoc } from '../../controller/core/model.js';
import {
  advance,
  commandIdOf,
  IDLE,
  isFinished,
  plannedCommand,
  type Advance,
  type Answer,
} from '../../controller/core/operations/advance.js';
import type { CommandOutcome } from '../../controller/core/operations/machine.js';
import { retryDelay } from '../../controller/core/operations/retry.js';
import { machineOf, OPERATION_KINDS } from '../../controller/core/operations/table.js';
import { aRecord, aVm, id } from '../store/documents.js';
import { anEntry, aView } from './views.js';

const VIEW = aView([anEntry(1), anEntry(2)]);
const OK: CommandOutcome = { ok: true, domain: undefined, facts: {} };
const no = (code: string): CommandOutcome => ({
  ok: false,
  error: { code, message: `it was ${code}` },
  domain: undefined,
});

function anOp(args: OperationArgs, change: Partial<OperationDoc> = {}): OperationDoc {
  return {
    id: id('op', 1),
    kind: args.kind,
    args,
    target: id('i', 1),
    targetName: 'web1',
    state: 'pending',
    percent: 0,
    detail: '',
    steps: [],
    error: undefined,
    cancelRequested: false,
    createdBy: 'ann',
    requestId: '',
    requestHash: '',
    createTime: 4000,
    endTime: 0,
    placement: undefined,
    cursor: IDLE,
    outbox: [],
    ...change,
  };
}

const create = (start: boolean): OperationArgs => ({ kind: 'vm.create', record: aRecord(1), start });
const stop: OperationArgs = { kind: 'vm.stop', force: false, timeoutSeconds: 90, onTimeout: 'force-off' };
const on = (settled: VmDoc['settled'], change: Partial<VmDoc> = {}): VmDoc =>
  aVm(1, { settled, hostId: id('h', 1), operationId: id('op', 1), ...change });

/** Runs an operation on a list of outcomes; `cancel` cancels before that answer. Returns the path as text. */
function run(
  args: OperationArgs,
  vm: VmDoc,
  outcomes: readonly CommandOutcome[],
  cancelBefore = -1,
): [string, Advance] {
  let now: Advance = advance(anOp(args), vm, VIEW, undefined);
  const path: string[] = [];
  for (const [index, outcome] of outcomes.entries()) {
    if (index === cancelBefore) now = { ...now, op: { ...now.op, cancelRequested: true } };
    const command = plannedCommand(now.op, now.vm, VIEW);
    path.push(command?.body.kind ?? '-');
    const answer: Answer = { hostId: now.op.cursor.hostId, commandId: commandIdOf(now.op), outcome };
    now = advance(now.op, now.vm, VIEW, answer);
  }
  return [`${path.join(' ')} → ${now.op.state} ${now.vm?.settled ?? 'none'}`, now];
}

void t.test('paths of every operation', async (t) => {
  const deleteArgs = { kind: 'vm.delete', force: false } as const;
  const expungeArgs = { kind: 'vm.expunge', force: false } as const;
  const rebuild = { kind: 'vm.rebuild', spec: aRecord(1).spec } as const;
  const record = aRecord(1);
  const volatile = on('running', { record: { ...record, spec: { ...record.spec, resetRootAtReboot: true } } });
  const cases: readonly [OperationArgs, VmDoc, CommandOutcome[], number, string][] = [
    [create(true), aVm(1, { settled: 'creating' }), [OK, OK], -1, 'provision start → succeeded running'],
    [create(false), aVm(1, { settled: 'creating' }), [OK], -1, 'provision → succeeded created'],
    [create(true), aVm(1), [no('BAD_IMAGE'), OK], -1, 'provision expunge → failed expunged'],
    [create(true), aVm(1), [OK, no('HYPERVISOR_ERROR'), OK], -1, 'provision start expunge → failed expunged'],
    // Cancelled while the command went through all the same: what was done is undone.
    [create(true), aVm(1), [OK, OK], 0, 'provision expunge → cancelled expunged'],
    [create(false), aVm(1), [OK, OK], 0, 'provision expunge → cancelled expunged'],
    [create(true), aVm(1), [OK, OK, OK], 1, 'provision start expunge → cancelled expunged'],
    [{ kind: 'vm.start' }, on('stopped'), [OK], -1, 'start → succeeded running'],
    [{ kind: 'vm.start' }, on('stopped'), [no('HYPERVISOR_ERROR')], -1, 'start → failed stopped'],
    [stop, on('running'), [OK], -1, 'shutdown → succeeded stopped'],
    [stop, on('running'), [no('GUEST_TIMEOUT')], -1, 'shutdown → failed running'],
    [stop, on('running'), [no('CANCELLED')], 0, 'shutdown → cancelled running'],
    [stop, on('running'), [OK], 0, 'shutdown → succeeded stopped'],
    [{ kind: 'vm.reboot', force: true }, on('running'), [OK], -1, 'reboot → succeeded running'],
    [deleteArgs, on('running'), [OK, OK], -1, 'shutdown set-record → succeeded destroyed'],
    [deleteArgs, on('stopped'), [OK], -1, 'set-record → succeeded destroyed'],
    [deleteArgs, on('running'), [no('GUEST_TIMEOUT')], -1, 'shutdown → failed running'],
    [deleteArgs, on('running'), [OK, no('INTERNAL')], -1, 'shutdown set-record → failed stopped'],
    [expungeArgs, on('running'), [OK, OK], -1, 'shutdown expunge → succeeded expunged'],
    [expungeArgs, on('running'), [OK], 0, 'shutdown → cancelled stopped'],
    [expungeArgs, on('destroyed'), [OK], -1, 'expunge → succeeded expunged'],
    [expungeArgs, on('destroyed'), [no('STORAGE_ERROR')], -1, 'expunge → failed error'],
    [expungeArgs, on('error', { hostId: '' }), [], -1, ' → succeeded expunged'],
    [{ kind: 'vm.expunge', force: true }, on('running'), [OK], -1, 'expunge → succeeded expunged'],
    [{ kind: 'vm.pause' }, on('running'), [OK], -1, 'pause → succeeded paused'],
    [{ kind: 'vm.pause' }, on('running'), [no('HYPERVISOR_ERROR')], -1, 'pause → failed running'],
    [{ kind: 'vm.resume' }, on('paused'), [OK], -1, 'resume → succeeded running'],
    [{ kind: 'vm.resume' }, on('suspended'), [no('STORAGE_ERROR')], -1, 'resume → failed suspended'],
    [{ kind: 'vm.suspend' }, on('running'), [OK], -1, 'suspend → succeeded suspended'],
    [{ kind: 'vm.suspend' }, on('running'), [no('CANCELLED')], 0, 'suspend → cancelled running'],
    [{ kind: 'vm.nmi' }, on('running'), [OK], -1, 'send-nmi → succeeded running'],
    [rebuild, on('stopped'), [OK], -1, 'rebuild-root → succeeded stopped'],
    [rebuild, on('created'), [no('STORAGE_FULL')], -1, 'rebuild-root → failed created'],
    // M-034: with a root disk that does not survive it, a reboot is a stop and a start.
    [{ kind: 'vm.reboot', force: false }, volatile, [OK, OK], -1, 'shutdown start → succeeded running'],
    [{ kind: 'vm.reboot', force: false }, volatile, [no('GUEST_TIMEOUT')], -1, 'shutdown → failed running'],
    [{ kind: 'vm.reboot', force: true }, volatile, [OK, no('STORAGE_FULL')], -1, 'shutdown start → failed stopped'],
    [{ kind: 'vm.undelete' }, on('destroyed'), [OK], -1, 'set-record → succeeded created'],
    [{ kind: 'vm.update', changes: {} }, on('running'), [no('INTERNAL')], -1, 'set-record → failed running'],
  ];
  for (const [args, vm, outcomes, cancelBefore, expected] of cases) {
    const [path, end] = run(args, vm, outcomes, cancelBefore);
    t.equal(path, expected, args.kind);
    t.equal(end.op.cursor.waiting, '', 'nothing is left at work');
    t.equal(end.vm?.operationId, '', 'the VM is released');
    t.equal(end.op.outbox.length, 1, 'and its end is an event');
  }
  await Promise.resolve();
});

void t.test('an answer of another host, attempt or step changes nothing', async (t) => {
  const { op, vm } = advance(anOp(stop), on('running'), VIEW, undefined);
  const right = { hostId: id('h', 1), commandId: `${op.id}/shutdown/1`, outcome: OK };
  const wrong: Answer[] = [
    { ...right, hostId: id('h', 2) },
    { ...right, commandId: `${op.id}/shutdown/2` },
    { ...right, commandId: `${op.id}/expunge/1` },
  ];
  for (const answer of wrong) t.equal(advance(op, vm, VIEW, answer).changed, false);
  const end = advance(op, vm, VIEW, right);
  t.equal(isFinished(end.op), true);
  t.equal(advance(end.op, end.vm, VIEW, right).changed, false, 'and none changes what is over');
  await Promise.resolve();
});

void t.test('a host that is removed ends what waits for it', async (t) => {
  const { op, vm } = advance(anOp(stop), on('running'), VIEW, undefined);
  const end = advance(op, vm, aView([anEntry(2)]), undefined);
  t.equal(end.op.state, 'failed');
  t.match(end.op.error?.message, /was removed/);
  await Promise.resolve();
});

void t.test(
  'retries: passing failures five times with growing rests, undoing for ever, others not at all',
  async (t) => {
    const passing = { code: 'HYPERVISOR_UNAVAILABLE', message: '' };
    const rests = [1, 2, 3, 4, 5].map((attempt) => retryDelay(passing, attempt, false));
    t.same(rests, [1000, 2000, 4000, 8000, undefined]);
    t.equal(retryDelay(passing, 40, true), 60_000);
    t.equal(retryDelay({ code: 'STORAGE_FULL', message: '' }, 1, false), undefined);
    t.equal(retryDelay({ code: 'STORAGE_FULL', message: '' }, 3, true), undefined);
    // A rest can be cancelled: no command is at work.
    const first = advance(anOp(stop), on('running'), VIEW, undefined);
    const answer = { hostId: id('h', 1), commandId: commandIdOf(first.op), outcome: no('HYPERVISOR_UNAVAILABLE') };
    const resting = advance(first.op, first.vm, VIEW, answer);
    t.equal(resting.op.cursor.waiting, 'retry');
    t.equal(plannedCommand(resting.op, resting.vm, VIEW), undefined);
    const cancelled = advance({ ...resting.op, cancelRequested: true }, resting.vm, VIEW, undefined);
    t.equal(cancelled.op.state, 'cancelled');
    await Promise.resolve();
  },
);

void t.test('every step of every machine is one sentence, in rising order of progress', async (t) => {
  for (const kind of OPERATION_KINDS) {
    const rules = Object.values(machineOf(kind).steps);
    t.ok(rules.length > 0 && rules.every((rule) => /^[A-Z][^.]+$/.test(rule.does)), kind);
    const from = rules.map((rule) => rule.from);
    t.same(
      from,
      [...from].sort((a, b) => a - b),
      kind,
    );
  }
  await Promise.resolve();
});
