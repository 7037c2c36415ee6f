/** Every kind of operation with its machine. */
import type { OperationArgs, OperationKind, VmDoc } from '../model.js';
import { imageDelete } from './image-delete.js';
import type { Machine } from './machine.js';
import { snapshotCreate, snapshotDelete, snapshotFlatten, snapshotRevert, snapshotUpdate } from './snapshots.js';
import { vmCreate } from './vm-create.js';
import { vmDelete } from './vm-delete.js';
import { vmExpunge } from './vm-expunge.js';
import { vmNmi } from './vm-nmi.js';
import { vmPause } from './vm-pause.js';
import { vmReboot } from './vm-reboot.js';
import { vmRebuild } from './vm-rebuild.js';
import { vmResume } from './vm-resume.js';
import { vmStart } from './vm-start.js';
import { vmStop } from './vm-stop.js';
import { vmSuspend } from './vm-suspend.js';
import { vmUndelete } from './vm-undelete.js';
import { vmUpdate } from './vm-update.js';

/** A machine whose kind was looked up: args and VM are its own, because both come from the same operation. */
export type AnyMachine = Machine<OperationArgs, string, VmDoc | undefined>;

const MACHINES: Readonly<Record<OperationKind, AnyMachine>> = {
  'vm.create': vmCreate,
  'vm.start': vmStart,
  'vm.stop': vmStop,
  'vm.reboot': vmReboot,
  'vm.delete': vmDelete,
  'vm.expunge': vmExpunge,
  'vm.update': vmUpdate,
  'vm.undelete': vmUndelete,
  'snapshot.create': snapshotCreate,
  'snapshot.revert': snapshotRevert,
  'snapshot.delete': snapshotDelete,
  'snapshot.update': snapshotUpdate,
  'snapshot.flatten': snapshotFlatten,
  'vm.pause': vmPause,
  'vm.resume': vmResume,
  'vm.suspend': vmSuspend,
  'vm.nmi': vmNmi,
  'vm.rebuild': vmRebuild,
  'image.delete': imageDelete,
};

export const OPERATION_KINDS = Object.keys(MACHINES) as readonly OperationKind[];

export function machineOf(kind: OperationKind): AnyMachine {
  return MACHINES[kind];
}
