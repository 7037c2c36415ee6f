import type { VmDoc } from '../model.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import { failure, type VmMachine } from './machine.js';

type Step = 'write';

/** M-021: a destroyed VM comes back as it was, stopped. */
export const vmUndelete: VmMachine<'vm.undelete', Step> = {
  steps: { write: { does: "Take the deletion mark out of the domain's metadata", from: 10 } },

  begin: ({ vm }) => ({ next: 'command', step: 'write', hostId: vm.hostId, vm, detail: 'taking the mark away' }),

  answered: (_step, outcome, { vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const settled = vm.record.startedOnce ? 'stopped' : 'created';
    const back: VmDoc = {
      ...vm,
      record: unmarked(vm.record),
      settled,
      stateReason: '',
      purgeTime: 0,
      updateTime: now,
    };
    return { next: 'done', state: 'succeeded', vm: back, detail: '', event: 'vm.undeleted' };
  },

  command: (_step, { vm }) => ({ kind: 'set-record', record: unmarked(vm.record) }),
};

function unmarked(record: VmRecord): VmRecord {
  const { deleteTime: _gone, ...rest } = record;
  return rest;
}
