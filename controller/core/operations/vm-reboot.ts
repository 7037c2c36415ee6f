import type { VmDoc } from '../model.js';
import { failure, hostName, imageRefs, type Next, type VmMachine } from './machine.js';
import { shutdownFor } from './vm-delete.js';
import { stopped } from './vm-stop.js';

type Step = 'reboot' | 'shutdown' | 'start';

/**
 * A restart inside the same domain: addresses and configuration stay (C-128, M-017). A VM whose root disk does not survive
 * a reboot (M-034) is stopped and started instead: the start makes the disk anew.
 */
export const vmReboot: VmMachine<'vm.reboot', Step> = {
  steps: {
    reboot: { does: 'Ask the guest to restart, or reset it', from: 10 },
    shutdown: { does: 'Stop the VM', from: 10 },
    start: { does: 'Make the root disk anew and start the VM', from: 60 },
  },

  begin: ({ args, vm, view }) => {
    const host = hostName(view, vm.hostId);
    if (vm.record.spec.resetRootAtReboot === true)
      return { next: 'command', step: 'shutdown', hostId: vm.hostId, vm, detail: `stopping on ${host}` };
    const detail = `${args.force ? 'resetting' : 'restarting the guest'} on ${host}`;
    return { next: 'command', step: 'reboot', hostId: vm.hostId, vm, detail };
  },

  answered: (step, outcome, { vm, view, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    if (step !== 'shutdown') return rebooted(vm, now);
    const detail = `starting with a fresh root disk on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'start', hostId: vm.hostId, vm: stopped(vm, outcome, now), detail };
  },

  command: (step, { args, vm, view }) => {
    switch (step) {
      case 'reboot':
        return { kind: 'reboot', force: args.force };
      case 'shutdown':
        return shutdownFor(vm, args.force);
      case 'start':
        return { kind: 'start', record: vm.record, images: imageRefs(vm.record, view) };
    }
  },
};

function rebooted(vm: VmDoc, now: number): Next<Step, VmDoc> {
  const running: VmDoc = { ...vm, settled: 'running', stateReason: '', updateTime: now };
  return { next: 'done', state: 'succeeded', vm: running, detail: '', event: 'vm.rebooted' };
}
