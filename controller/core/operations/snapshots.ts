/** Snapshots: one command each, to the host that has the VM's disks. The VM's state stays what it is meanwhile (C-131). */
import type { OperationArgs, VmDoc } from '../model.js';
import { failure, hostName, type CommandBody, type CommandOutcome, type Moment, type VmMachine } from './machine.js';

type Kind = Extract<OperationArgs['kind'], `snapshot.${string}`>;
type ArgsOf<K extends Kind> = Extract<OperationArgs, { kind: K }>;
type Done = Extract<CommandOutcome, { ok: true }>;

function machine<K extends Kind>(rule: {
  readonly does: string;
  readonly detail: (args: ArgsOf<K>) => string;
  readonly event: string;
  readonly order: (args: ArgsOf<K>, moment: Moment<ArgsOf<K>, VmDoc>) => CommandBody;
  /** What the VM is afterwards, when that is not what it was. */
  readonly after?: (vm: VmDoc, outcome: Done) => VmDoc;
}): VmMachine<K, 'work'> {
  return {
    steps: { work: { does: rule.does, from: 5 } },
    begin: ({ args, vm, view }) => ({
      ...{ next: 'command', step: 'work', hostId: vm.hostId, vm },
      detail: `${rule.detail(args)} on ${hostName(view, vm.hostId)}`,
    }),
    answered: (_step, outcome, { vm, now }) => {
      if (!outcome.ok) return failure(outcome.error, vm);
      const after = rule.after?.(vm, outcome) ?? vm;
      return { next: 'done', state: 'succeeded', vm: { ...after, updateTime: now }, detail: '', event: rule.event };
    },
    command: (_step, moment) => rule.order(moment.args, moment),
  };
}

export const snapshotCreate = machine<'snapshot.create'>({
  does: 'Freeze the disks and go on in new files',
  detail: ({ wish }) => `taking the snapshot ${wish.name}`,
  event: 'snapshot.created',
  order: ({ wish }, { vm, view }) => {
    const { maxSnapshots: limit, snapshotWaitSeconds: waitSeconds } = view.policy;
    return { kind: 'snapshot-create', record: vm.record, wish, limit, waitSeconds };
  },
});

export const snapshotRevert = machine<'snapshot.revert'>({
  does: 'Put the disks, and the memory when there is some, back to what they were',
  detail: ({ name }) => `going back to the snapshot ${name}`,
  event: 'snapshot.reverted',
  order: ({ snapshot }, { vm }) => ({ kind: 'snapshot-revert', record: vm.record, snapshot }),
  after: (vm, { facts }) =>
    facts['running'] === 'true' ? { ...vm, settled: 'running', stateReason: '' } : { ...vm, stateReason: '' },
});

export const snapshotDelete = machine<'snapshot.delete'>({
  does: 'Merge what only this snapshot needs, and remove it',
  detail: ({ name }) => `deleting the snapshot ${name}`,
  event: 'snapshot.deleted',
  order: ({ snapshot }, { vm }) => ({ kind: 'snapshot-delete', record: vm.record, snapshot }),
});

export const snapshotUpdate = machine<'snapshot.update'>({
  does: 'Write name, description and tags',
  detail: ({ name }) => `describing the snapshot ${name}`,
  event: 'snapshot.updated',
  order: ({ snapshot, changes }, { vm }) => ({ kind: 'snapshot-update', record: vm.record, snapshot, changes }),
});

export const snapshotFlatten = machine<'snapshot.flatten'>({
  does: 'Copy all that the disks read into their own files',
  detail: () => 'making the disks stand by themselves',
  event: 'snapshot.flattened',
  order: ({ disks }, { vm }) => ({ kind: 'snapshot-flatten', record: vm.record, disks }),
});
