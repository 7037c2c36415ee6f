import { failure, hostName, type VmMachine } from './machine.js';

type Step = 'reboot';

/** A restart inside the same domain: addresses and configuration stay (C-128, M-017). */
export const vmReboot: VmMachine<'vm.reboot', Step> = {
  steps: { reboot: { does: 'Ask the guest to restart, or reset it', from: 10 } },

  begin: ({ args, vm, view }) => {
    const detail = `${args.force ? 'resetting' : 'restarting the guest'} on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'reboot', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const running = { ...vm, settled: 'running', stateReason: '', updateTime: now } as const;
    return { next: 'done', state: 'succeeded', vm: running, detail: '', event: 'vm.rebooted' };
  },

  command: (_step, { args }) => ({ kind: 'reboot', force: args.force }),
};
