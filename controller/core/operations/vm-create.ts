import type { ErrorInfo } from '../error-info.js';
import type { OperationArgs, PlacementDoc, VmDoc } from '../model.js';
import { FILTERS, type Filter } from '../scheduler/filters.js';
import { place } from '../scheduler/place.js';
import { CANCELLED, failure, hostName, imageRefs, type CommandOutcome, type Next, type VmMachine } from './machine.js';

type Step = 'provision' | 'start' | 'remove';

/**
 * place → provision → [start]. Whatever fails or is cancelled after the placement is taken back on that host (`remove`), and
 * the VM is expunged: its name is free again. Only when even that fails the record stays, in `error` with the reason.
 */
export const vmCreate: VmMachine<'vm.create', Step> = {
  steps: {
    provision: { does: 'Make the disks and the seed, define the domain', from: 5 },
    start: { does: 'Start the domain', from: 80 },
    remove: { does: 'Remove what was made on the host', from: 90, undoes: true },
  },

  begin: ({ args, vm, view, now }) => {
    const request = { record: args.record, runs: args.start, makesDisks: true, pinnedTo: '' };
    const answer = place(view, request, filtersFor(args));
    if (answer.host === undefined) {
      const error = noCapacity(args.record.name, answer.rejected);
      return failure(error, gone(vm, error.message, now));
    }
    const { host } = answer;
    const placement: PlacementDoc = { hostId: host.id, score: answer.score, rejected: answer.rejected };
    return {
      next: 'command',
      step: 'provision',
      hostId: host.id,
      placement,
      detail: `making disks on ${host.name}`,
      vm: { ...vm, hostId: host.id, record: { ...vm.record, epoch: vm.record.epoch + 1 }, updateTime: now },
    };
  },

  answered: (step, outcome, moment) => {
    const { args, vm, op, view, now } = moment;
    switch (step) {
      case 'provision': {
        if (!outcome.ok) return undo(vm, outcome.error, hostName(view, vm.hostId));
        if (op.cancelRequested) return undo(vm, CANCELLED, hostName(view, vm.hostId));
        const created: VmDoc = { ...vm, settled: 'created', updateTime: now };
        if (!args.start) return { next: 'done', state: 'succeeded', vm: created, detail: '', event: 'vm.created' };
        const detail = `starting on ${hostName(view, vm.hostId)}`;
        return { next: 'command', step: 'start', hostId: vm.hostId, vm: created, detail };
      }
      case 'start': {
        if (!outcome.ok) return undo(vm, outcome.error, hostName(view, vm.hostId));
        if (op.cancelRequested) return undo(vm, CANCELLED, hostName(view, vm.hostId));
        const record = { ...vm.record, startedOnce: true };
        const running: VmDoc = { ...vm, record, settled: 'running', updateTime: now };
        return { next: 'done', state: 'succeeded', vm: running, detail: '', event: 'vm.running' };
      }
      case 'remove':
        return removed(outcome, moment.vm, op.error ?? CANCELLED, now);
    }
  },

  command: (step, { args, vm, view }) => {
    switch (step) {
      case 'provision': {
        const { source } = args;
        const copied = source === undefined ? {} : { source: { record: source.record, snapshot: source.snapshot } };
        return { kind: 'provision', record: vm.record, images: imageRefs(vm.record, view), ...copied };
      }
      case 'start':
        return { kind: 'start', record: { ...vm.record, startedOnce: true }, images: imageRefs(vm.record, view) };
      case 'remove':
        return { kind: 'expunge', record: vm.record };
    }
  },
};

/** A copy is made where the snapshot's files are. */
function filtersFor({ source }: Extract<OperationArgs, { kind: 'vm.create' }>): readonly Filter[] {
  if (source === undefined) return FILTERS;
  const hasFiles: Filter = (host) =>
    host.id === source.hostId ? undefined : `does not have the disks of ${source.record.name}`;
  return [hasFiles, ...FILTERS];
}

function undo(vm: VmDoc, error: ErrorInfo, host: string): Next<Step, VmDoc> {
  return { next: 'command', step: 'remove', hostId: vm.hostId, vm, error, detail: `removing what was made on ${host}` };
}

function removed(outcome: CommandOutcome, vm: VmDoc, error: ErrorInfo, now: number): Next<Step, VmDoc> {
  if (outcome.ok) return failure(error, gone(vm, error.message, now));
  const reason = `The creation failed (${error.message}) and could not be undone: ${outcome.error.message}`;
  const both: ErrorInfo = { ...error, message: reason, remedy: 'Delete the VM with --expunge to try again.' };
  const broken: VmDoc = { ...vm, settled: 'error', stateReason: reason, updateTime: now };
  return { next: 'done', state: 'failed', error: both, detail: reason, vm: broken };
}

/** The VM never came to be. */
function gone(vm: VmDoc, reason: string, now: number): VmDoc {
  return { ...vm, settled: 'expunged', stateReason: reason, hostId: '', purgeTime: 0, updateTime: now };
}

export function noCapacity(name: string, rejected: Readonly<Record<string, string>>): ErrorInfo {
  const reasons = Object.entries(rejected).map(([host, reason]) => `${host} ${reason}`);
  const why = reasons.length === 0 ? 'there is no host' : reasons.slice(0, 5).join('; ');
  const more = reasons.length > 5 ? ` (and ${reasons.length - 5} more)` : '';
  return {
    code: 'NO_CAPACITY',
    message: `No host can take ${name}: ${why}${more}.`,
    remedy: reasons.length === 0 ? 'Add a host with `ostler host add`.' : 'Ask for less, free a host, or add one.',
    metadata: rejected,
  };
}
