import { failure, hostName, type VmMachine } from './machine.js';

type Step = 'resume';

/** A paused guest goes on; a suspended one is started from its saved memory. */
export const vmResume: VmMachine<'vm.resume', Step> = {
  steps: { resume: { does: 'Let the guest go on, from memory or from disk', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `resuming on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'resume', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const after = { ...vm, settled: 'running', stateReason: '', updateTime: now } as const;
    return { next: 'done', state: 'succeeded', vm: after, detail: '', event: 'vm.resumed' };
  },

  command: () => ({ kind: 'resume' }),
};
