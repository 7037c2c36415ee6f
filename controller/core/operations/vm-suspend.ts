import { failure, hostName, type VmMachine } from './machine.js';

type Step = 'save';

/** Suspend to disk. Cancelled or failed, the VM runs on. */
export const vmSuspend: VmMachine<'vm.suspend', Step> = {
  steps: { save: { does: 'Write the memory to disk and power off', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `saving the memory on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'save', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const after = { ...vm, settled: 'suspended', stateReason: '', updateTime: now } as const;
    return { next: 'done', state: 'succeeded', vm: after, detail: '', event: 'vm.suspended' };
  },

  command: () => ({ kind: 'suspend' }),
};
