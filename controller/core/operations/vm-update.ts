import type { VmChanges, VmDoc } from '../model.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import { failure, hostName, imageRefs, type VmMachine } from './machine.js';

type Step = 'write' | 'apply';

/**
 * Names, description, labels: first into the domain's metadata, then into the record, so that a rebuild never goes back.
 * A change of the spec is done by the agent as a whole or not at all (C-105, C-120); only then it is the record.
 */
export const vmUpdate: VmMachine<'vm.update', Step> = {
  steps: {
    write: { does: "Write the record into the domain's metadata", from: 10 },
    apply: { does: 'Change disks, domain and definition', from: 10 },
  },

  begin: ({ args, vm, view }) => {
    const { hostId } = vm;
    if (args.changes.spec === undefined)
      return { next: 'command', step: 'write', hostId, vm, detail: 'writing the record' };
    return { next: 'command', step: 'apply', hostId, vm, detail: `changing the VM on ${hostName(view, hostId)}` };
  },

  answered: (_step, outcome, { args, vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const updated: VmDoc = { ...vm, record: withChanges(vm.record, args.changes), updateTime: now };
    const detail = remarks(outcome.facts);
    return { next: 'done', state: 'succeeded', vm: updated, detail, event: 'vm.updated' };
  },

  command: (step, { args, vm, view }) => {
    const record = withChanges(vm.record, args.changes);
    switch (step) {
      case 'write':
        return { kind: 'set-record', record };
      case 'apply': {
        const deleteVolumes = args.changes.deleteVolumes === true;
        return { kind: 'apply', previous: vm.record, record, images: imageRefs(record, view), deleteVolumes };
      }
    }
  },
};

/** What a person should know of a change that is done: what the guest did not take, where a volume went. */
function remarks(facts: Readonly<Record<string, string>>): string {
  return Object.entries(facts)
    .flatMap(([key, value]) => {
      if (key.startsWith('warning.')) return [value];
      if (key.startsWith('kept.')) return [`The volume of ${key.slice(5)} is kept as ${value}.`];
      return [];
    })
    .join(' ');
}

export function withChanges(record: VmRecord, changes: VmChanges): VmRecord {
  const { name, displayName, description, labels } = changes;
  const spec = withSwitches(changes.spec ?? record.spec, changes);
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
