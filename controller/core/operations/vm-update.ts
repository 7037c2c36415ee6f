import type { VmChanges, VmDoc } from '../model.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import { failure, type VmMachine } from './machine.js';

type Step = 'write';

/** Names, description, labels: first into the domain's metadata, then into the record, so that a rebuild never goes back. */
export const vmUpdate: VmMachine<'vm.update', Step> = {
  steps: { write: { does: "Write the record into the domain's metadata", from: 10 } },

  begin: ({ vm }) => ({ next: 'command', step: 'write', hostId: vm.hostId, vm, detail: 'writing the record' }),

  answered: (_step, outcome, { args, vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const updated: VmDoc = { ...vm, record: withChanges(vm.record, args.changes), updateTime: now };
    return { next: 'done', state: 'succeeded', vm: updated, detail: '', event: 'vm.updated' };
  },

  command: (_step, { args, vm }) => ({ kind: 'set-record', record: withChanges(vm.record, args.changes) }),
};

export function withChanges(record: VmRecord, changes: VmChanges): VmRecord {
  const { name, displayName, description, labels } = changes;
  const spec = withSwitches(record.spec, changes);
  return {
    ...record,
    ...(name === undefined ? {} : { name }),
    ...(displayName === undefined ? {} : { displayName }),
    ...(description === undefined ? {} : { description }),
    ...(labels === undefined ? {} : { labels: { ...labels } }),
    spec,
  };
}

/** A switch that is off is not written at all. */
function withSwitches(spec: VmRecord['spec'], changes: VmChanges): VmRecord['spec'] {
  const { autostart: _autostart, deleteProtection: _protection, ...rest } = spec;
  const autostart = changes.autostart ?? spec.autostart;
  const deleteProtection = changes.deleteProtection ?? spec.deleteProtection;
  return {
    ...rest,
    ...(autostart === true ? { autostart } : {}),
    ...(deleteProtection === true ? { deleteProtection } : {}),
  };
}
