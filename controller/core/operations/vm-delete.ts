import type { VmDoc } from '../model.js';
import { failure, hostName, type Next, type VmMachine } from './machine.js';
import { stopped } from './vm-stop.js';

type Step = 'shutdown' | 'mark';

/**
 * Soft deletion (M-019, M-021): a running VM is stopped first, then the domain is marked, so that a rebuild knows it too. The
 * disks stay until `purgeTime`. A VM that was stopped and could not be marked stays stopped.
 */
export const vmDelete: VmMachine<'vm.delete', Step> = {
  steps: {
    shutdown: { does: 'Stop the VM', from: 5 },
    mark: { does: 'Mark the domain as deleted', from: 80 },
  },

  begin: ({ vm, view }) => {
    if (!isUp(vm)) return mark(vm);
    return {
      next: 'command',
      step: 'shutdown',
      hostId: vm.hostId,
      vm,
      detail: `stopping on ${hostName(view, vm.hostId)}`,
    };
  },

  answered: (step, outcome, { args, vm, op, view, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    switch (step) {
      case 'shutdown':
        return mark(stopped(vm, outcome, now, args.force));
      case 'mark': {
        const record = { ...vm.record, deleteTime: op.createTime };
        const purgeTime = now + view.policy.purgeDelayMs;
        const destroyed: VmDoc = { ...vm, record, settled: 'destroyed', stateReason: '', purgeTime, updateTime: now };
        return { next: 'done', state: 'succeeded', vm: destroyed, detail: '', event: 'vm.destroyed' };
      }
    }
  },

  command: (step, { args, vm, op }) => {
    switch (step) {
      case 'shutdown':
        return shutdownFor(vm, args.force);
      case 'mark':
        return { kind: 'set-record', record: { ...vm.record, deleteTime: op.createTime } };
    }
  },
};

function mark(vm: VmDoc): Next<Step, VmDoc> {
  return { next: 'command', step: 'mark', hostId: vm.hostId, vm, detail: 'marking the domain as deleted' };
}

export function isUp(vm: VmDoc): boolean {
  return vm.settled === 'running' || vm.settled === 'paused';
}

/** How a VM is stopped on its way to deletion: by its own policy, or at once. */
export function shutdownFor(vm: VmDoc, force: boolean) {
  const { shutdownTimeoutSeconds, onShutdownTimeout } = vm.record.spec;
  return {
    kind: 'shutdown',
    force,
    timeoutSeconds: shutdownTimeoutSeconds,
    onTimeout: onShutdownTimeout,
  } as const;
}
