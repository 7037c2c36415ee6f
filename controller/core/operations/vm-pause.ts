import { failure, hostName, type VmMachine } from './machine.js';

type Step = 'pause';

/** The guest stands still, its memory and its place on the host stay. */
export const vmPause: VmMachine<'vm.pause', Step> = {
  steps: { pause: { does: 'Make the guest stand still', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `pausing on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'pause', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const after = { ...vm, settled: 'paused', stateReason: '', updateTime: now } as const;
    return { next: 'done', state: 'succeeded', vm: after, detail: '', event: 'vm.paused' };
  },

  command: () => ({ kind: 'pause' }),
};
