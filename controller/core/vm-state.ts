/** The state of a VM as people see it: what is stored, the operation at work, and whether the host can be heard. */
import type { OperationDoc, OperationKind, SettledState, VmDoc } from './model.js';
import type { HostEntry } from './view.js';

export type VmStateName =
  | 'CREATED'
  | 'RUNNING'
  | 'STOPPED'
  | 'PAUSED'
  | 'SUSPENDED'
  | 'DESTROYED'
  | 'EXPUNGED'
  | 'ERROR'
  | 'UNKNOWN'
  | 'CREATING'
  | 'STARTING'
  | 'STOPPING'
  | 'REBOOTING'
  | 'DESTROYING'
  | 'EXPUNGING'
  | 'UPDATING'
  | 'SUSPENDING'
  | 'RESUMING'
  | 'REBUILDING';

export interface VmState {
  readonly state: VmStateName;
  /** Why; empty when it is self-evident. */
  readonly reason: string;
}

const SETTLED: Readonly<Record<SettledState, VmStateName>> = {
  creating: 'CREATING',
  created: 'CREATED',
  running: 'RUNNING',
  stopped: 'STOPPED',
  paused: 'PAUSED',
  suspended: 'SUSPENDED',
  destroyed: 'DESTROYED',
  expunged: 'EXPUNGED',
  error: 'ERROR',
};

/** Undefined: the operation does not show in the VM's state. */
const WORKING: Readonly<Record<OperationKind, VmStateName | undefined>> = {
  'vm.create': 'CREATING',
  'vm.start': 'STARTING',
  'vm.stop': 'STOPPING',
  'vm.reboot': 'REBOOTING',
  'vm.delete': 'DESTROYING',
  'vm.expunge': 'EXPUNGING',
  'vm.update': undefined,
  'vm.undelete': undefined,
  'snapshot.create': undefined,
  'snapshot.revert': undefined,
  'snapshot.delete': undefined,
  'snapshot.update': undefined,
  'snapshot.flatten': undefined,
  'vm.pause': undefined,
  'vm.resume': 'RESUMING',
  'vm.suspend': 'SUSPENDING',
  'vm.nmi': undefined,
  'vm.rebuild': 'REBUILDING',
  'image.delete': undefined,
};

export function vmState(vm: VmDoc, operation: OperationDoc | undefined, host: HostEntry | undefined): VmState {
  const silence = silenceOf(vm, host);
  const working = operation === undefined ? undefined : workingState(operation);
  if (operation !== undefined && working !== undefined) {
    const what = operation.state === 'undoing' ? `is being undone: ${operation.error?.message ?? ''}` : '';
    return { state: working, reason: [what, silence].filter((part) => part !== '').join('; ') };
  }
  const state = SETTLED[vm.settled];
  switch (vm.settled) {
    case 'created':
    case 'running':
    case 'stopped':
    case 'paused':
    case 'suspended':
      return silence === '' ? { state, reason: vm.stateReason } : { state: 'UNKNOWN', reason: silence };
    case 'creating':
    case 'destroyed':
    case 'expunged':
    case 'error':
      return { state, reason: vm.stateReason };
  }
}

/** C-121: only a change of the machine shows; names and labels take no time. */
function workingState({ kind, args }: OperationDoc): VmStateName | undefined {
  if (args.kind === 'vm.update' && args.changes.spec !== undefined) return 'UPDATING';
  return WORKING[kind];
}

/** Why nothing is known of the VM at this moment; empty when its host can be heard. */
function silenceOf(vm: VmDoc, host: HostEntry | undefined): string {
  if (vm.hostId === '') return '';
  if (host === undefined) return `its host ${vm.hostId} has no record any more`;
  if (!host.online) return `${host.name} ${host.reason}`;
  if (!host.hypervisorConnected) return `libvirt on ${host.name} does not answer: ${host.hypervisorReason}`;
  return '';
}
