import type { VmDoc } from '../model.js';
import { failure, hostName, type CommandOutcome, type VmMachine } from './machine.js';

type Step = 'shutdown';

/** C-125: the guest is asked by ACPI; after its time the plug is pulled, or the VM runs on, as the caller decides. */
export const vmStop: VmMachine<'vm.stop', Step> = {
  steps: { shutdown: { does: 'Ask the guest to power off; pull the plug when told to', from: 10 } },

  begin: ({ args, vm, view }) => {
    const host = hostName(view, vm.hostId);
    const detail = args.force ? `powering off on ${host}` : `waiting for the guest, at most ${args.timeoutSeconds} s`;
    return { next: 'command', step: 'shutdown', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { args, vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    return {
      next: 'done',
      state: 'succeeded',
      vm: stopped(vm, outcome, now, args.force),
      detail: '',
      event: 'vm.stopped',
    };
  },

  command: (_step, { args }) => {
    const { force, timeoutSeconds, onTimeout } = args;
    return { kind: 'shutdown', force, timeoutSeconds, onTimeout };
  },
};

/** The VM after a shutdown that succeeded, and how it came about. `force`: it was asked for the plug to be pulled. */
export function stopped(vm: VmDoc, outcome: Extract<CommandOutcome, { ok: true }>, now: number, force = false): VmDoc {
  return { ...vm, settled: 'stopped', stateReason: stopReason(outcome.facts, force), updateTime: now };
}

function stopReason(facts: Readonly<Record<string, string>>, force: boolean): string {
  if (facts['dropped'] === 'true') return 'its saved memory was dropped as asked';
  // It was off when it was asked: somebody or something else had stopped it.
  if (facts['already'] === 'true') return '';
  if (facts['forced'] !== 'true') return 'it shut down as asked';
  return force ? 'it was powered off as asked' : 'powered off by force: the guest did not shut down';
}
