import { failure, hostName, imageRefs, type VmMachine } from './machine.js';

type Step = 'start';

/** The whole record goes along, so that the domain is rebuilt from the stored parameters (M-017). */
export const vmStart: VmMachine<'vm.start', Step> = {
  steps: { start: { does: 'Rebuild the domain from the record and start it', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `starting on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'start', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const record = { ...vm.record, startedOnce: true };
    return {
      next: 'done',
      state: 'succeeded',
      detail: '',
      event: 'vm.running',
      vm: { ...vm, record, settled: 'running', stateReason: '', updateTime: now },
    };
  },

  command: (_step, { vm, view }) => ({
    kind: 'start',
    record: { ...vm.record, startedOnce: true },
    images: imageRefs(vm.record, view),
  }),
};
