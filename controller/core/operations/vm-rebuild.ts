import type { VmDoc } from '../model.js';
import type { VmRecord, VmSpec } from '../../../proto/model/vm.js';
import { failure, hostName, imageRefs, type VmMachine } from './machine.js';

type Step = 'rebuild';

/** M-036, M-037: the root disk goes and is made anew from an image; everything else of the VM stays. */
export const vmRebuild: VmMachine<'vm.rebuild', Step> = {
  steps: { rebuild: { does: 'Make the root disk anew from its image', from: 10 } },

  begin: ({ vm, view }) => {
    const detail = `making the root disk anew on ${hostName(view, vm.hostId)}`;
    return { next: 'command', step: 'rebuild', hostId: vm.hostId, vm, detail };
  },

  answered: (_step, outcome, { args, vm, now }) => {
    if (!outcome.ok) return failure(outcome.error, vm);
    const rebuilt: VmDoc = { ...vm, record: rebuiltRecord(vm.record, args.spec), updateTime: now };
    return { next: 'done', state: 'succeeded', vm: rebuilt, detail: '', event: 'vm.rebuilt' };
  },

  command: (_step, { args, vm, view }) => {
    const record = rebuiltRecord(vm.record, args.spec);
    return { kind: 'rebuild-root', record, images: imageRefs(record, view) };
  },
};

/** Only what a rebuild may change is taken from the wish: the images of the disks, and the size of the first. */
function rebuiltRecord(record: VmRecord, wish: VmSpec): VmRecord {
  return { ...record, spec: { ...record.spec, disks: wish.disks } };
}
