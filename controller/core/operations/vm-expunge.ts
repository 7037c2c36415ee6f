import type { VmDoc } from '../model.js';
import { failure, hostName, type Next, type VmMachine } from './machine.js';
import { isUp, shutdownFor } from './vm-delete.js';
import { stopped } from './vm-stop.js';

type Step = 'shutdown' | 'expunge';

/** M-023: everything of the VM goes, and cannot come back. With `force` the plug is pulled by the removal itself. */
export const vmExpunge: VmMachine<'vm.expunge', Step> = {
  steps: {
    shutdown: { does: 'Stop the VM', from: 5 },
    expunge: { does: 'Remove the domain, its disks and its seed', from: 50 },
  },

  begin: ({ args, vm, view, now }) => {
    if (vm.hostId === '') return done(vm, now);
    if (!isUp(vm) || args.force) return expunge(vm);
    return {
      next: 'command',
      step: 'shutdown',
      hostId: vm.hostId,
      vm,
      detail: `stopping on ${hostName(view, vm.hostId)}`,
    };
  },

  answered: (step, outcome, { vm, op, now }) => {
    switch (step) {
      case 'shutdown': {
        if (outcome.ok && !op.cancelRequested) return expunge(stopped(vm, outcome, now));
        const error = outcome.ok
          ? { code: 'CANCELLED', message: 'Cancelled after the VM was stopped.' }
          : outcome.error;
        const after = outcome.ok ? stopped(vm, outcome, now) : vm;
        return failure(error, after);
      }
      case 'expunge': {
        if (outcome.ok) return done(vm, now);
        if (outcome.error.code === 'CANCELLED') return failure(outcome.error, vm);
        const stateReason = `Its removal failed: ${outcome.error.message}`;
        const broken: VmDoc = { ...vm, settled: 'error', stateReason, updateTime: now };
        return { next: 'done', state: 'failed', error: outcome.error, vm: broken, detail: stateReason };
      }
    }
  },

  command: (step, { args, vm }) => {
    switch (step) {
      case 'shutdown':
        return shutdownFor(vm, args.force);
      case 'expunge':
        return { kind: 'expunge', record: vm.record };
    }
  },
};

function expunge(vm: VmDoc): Next<Step, VmDoc> {
  return { next: 'command', step: 'expunge', hostId: vm.hostId, vm, detail: 'removing the domain and its disks' };
}

function done(vm: VmDoc, now: number): Next<Step, VmDoc> {
  return {
    next: 'done',
    state: 'succeeded',
    detail: '',
    event: 'vm.expunged',
    vm: { ...vm, settled: 'expunged', stateReason: '', hostId: '', purgeTime: 0, updateTime: now },
  };
}
