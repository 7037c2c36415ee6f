import { failure, hostName, type VmMachine } from './machine.js';

type Step = 'send';

/** An interrupt that a hung guest cannot mask: for its crash dump or debugger. */
export const vmNmi: VmMachine<'vm.nmi', Step> = {
  steps: { send: { does: 'Send a non-maskable interrupt', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `sending an interrupt on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'send', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { vm }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    return { next: 'done', state: 'succeeded', vm, detail: '', event: 'vm.nmi-sent' };
  },

  command: () => ({ kind: 'send-nmi' }),
};
