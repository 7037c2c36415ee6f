/** Who may do what to which VM when (C-013 … C-021, C-122, C-124, C-127). Every refusal says why and what to do. */
import type { ErrorInfo } from './error-info.js';
import type { ImageDoc, OperationArgs, OperationDoc, OperationKind, SettledState, VmDoc } from './model.js';
import { noCapacity } from './operations/vm-create.js';
import { isMissing } from './reconcile.js';
import { place } from './scheduler/place.js';
import { volumeInUse } from './volumes.js';
import { addAllocation, allocationOf, type ClusterView, type HostEntry } from './view.js';
import type { SnapshotWish } from '../../proto/model/snapshot.js';
import { rootDisk, type VmRecord, type VmSpec } from '../../proto/model/vm.js';

export interface Asked {
  readonly target: string;
  readonly args: OperationArgs;
  readonly actor: string;
  readonly vm: VmDoc | undefined;
  readonly image: ImageDoc | undefined;
  /** The operation that holds the VM. */
  readonly holder: OperationDoc | undefined;
  /** For a VM that is copied from a snapshot: the one that has the snapshot, and who holds that. */
  readonly source?: { readonly vm: VmDoc | undefined; readonly holder: OperationDoc | undefined };
  readonly view: ClusterView;
}

/** They merge or remove files of snapshots: neither may begin while the other is at work (C-134). */
const MOVES_FILES: readonly OperationKind[] = [
  'snapshot.delete',
  'snapshot.revert',
  'snapshot.flatten',
  'vm.expunge',
  'vm.rebuild',
];

type VmKind = Exclude<OperationKind, 'vm.create' | 'image.delete'>;

interface Rule {
  readonly verb: string;
  readonly from: readonly SettledState[];
  /** What to do instead, by the state the VM is in. */
  readonly remedy: Readonly<Partial<Record<SettledState, string>>>;
}

const RESUME_FIRST = 'Let it go on first: `ostler vm resume`.';

const RULES: Readonly<Record<VmKind, Rule>> = {
  'vm.start': {
    verb: 'started',
    from: ['stopped', 'created'],
    remedy: {
      running: 'It runs already.',
      paused: 'Let it go on: `ostler vm resume`.',
      suspended: 'Let it go on: `ostler vm resume`; or drop its saved memory with `ostler stop --force` first.',
      destroyed: 'Bring it back first: `ostler vm undelete`.',
    },
  },
  'vm.stop': {
    verb: 'stopped',
    from: ['running', 'paused', 'suspended'],
    remedy: { stopped: 'It is stopped already.' },
  },
  'vm.reboot': {
    verb: 'rebooted',
    from: ['running'],
    remedy: {
      stopped: 'Start it instead.',
      created: 'Start it instead.',
      paused: RESUME_FIRST,
      suspended: RESUME_FIRST,
    },
  },
  'vm.delete': {
    verb: 'deleted',
    from: ['created', 'running', 'stopped', 'paused', 'suspended'],
    remedy: { destroyed: 'It is deleted already; `--expunge` removes its disks now.', error: 'Use `--expunge`.' },
  },
  'vm.expunge': {
    verb: 'expunged',
    from: ['created', 'running', 'stopped', 'paused', 'suspended', 'destroyed', 'error'],
    remedy: { expunged: 'It is gone already.' },
  },
  'vm.update': {
    verb: 'changed',
    from: ['created', 'running', 'stopped', 'paused', 'suspended'],
    remedy: { destroyed: 'Bring it back first: `ostler vm undelete`.' },
  },
  // C-019
  'snapshot.create': {
    verb: 'snapshotted',
    from: ['running', 'stopped'],
    remedy: { created: 'Start it once first.', paused: 'Resume it first.' },
  },
  'snapshot.revert': {
    verb: 'put back to a snapshot',
    from: ['running', 'stopped'],
    remedy: { paused: 'Stop it first.', destroyed: 'Bring it back first: `ostler vm undelete`.' },
  },
  'snapshot.delete': { verb: 'changed', from: ['created', 'running', 'stopped', 'paused'], remedy: {} },
  'snapshot.update': { verb: 'changed', from: ['created', 'running', 'stopped', 'paused'], remedy: {} },
  'snapshot.flatten': { verb: 'flattened', from: ['created', 'running', 'stopped'], remedy: {} },
  'vm.undelete': { verb: 'undeleted', from: ['destroyed'], remedy: { expunged: 'Its disks are gone.' } },
  'vm.pause': {
    verb: 'paused',
    from: ['running'],
    remedy: { paused: 'It is paused already.', suspended: 'It is off, its memory is on disk.', stopped: 'It is off.' },
  },
  'vm.resume': {
    verb: 'resumed',
    from: ['paused', 'suspended'],
    remedy: { running: 'It runs already.', stopped: 'Start it instead.', created: 'Start it instead.' },
  },
  'vm.suspend': {
    verb: 'suspended',
    from: ['running', 'paused'],
    remedy: { suspended: 'It is suspended already.', stopped: 'It is off: there is no memory to save.' },
  },
  'vm.nmi': { verb: 'sent an interrupt', from: ['running'], remedy: { paused: RESUME_FIRST, suspended: RESUME_FIRST } },
  'vm.rebuild': {
    verb: 'rebuilt',
    from: ['created', 'stopped'],
    remedy: {
      running: 'Stop it first: `ostler stop`.',
      paused: 'Stop it first: `ostler stop --force`.',
      suspended: 'Drop its saved memory first: `ostler stop --force`.',
      destroyed: 'Bring it back first: `ostler vm undelete`.',
    },
  },
};

/** Why the request is refused; undefined: it may be stored. Placement of a new VM is decided by its first step. */
export function admit(asked: Asked): ErrorInfo | undefined {
  const { args } = asked;
  switch (args.kind) {
    case 'vm.create':
      return admitCreate(asked, args.record.name);
    case 'image.delete':
      return admitImageDelete(asked);
    case 'vm.start':
    case 'vm.stop':
    case 'vm.reboot':
    case 'vm.delete':
    case 'vm.expunge':
    case 'vm.update':
    case 'vm.undelete':
    case 'snapshot.create':
    case 'snapshot.revert':
    case 'snapshot.delete':
    case 'snapshot.update':
    case 'snapshot.flatten':
    case 'vm.pause':
    case 'vm.resume':
    case 'vm.suspend':
    case 'vm.nmi':
    case 'vm.rebuild':
      return admitVm(asked, args.kind);
  }
}

function admitCreate(asked: Asked, name: string): ErrorInfo | undefined {
  const { args, view, vm } = asked;
  if (args.kind !== 'vm.create') return undefined;
  if (vm !== undefined) return { code: 'ALREADY_EXISTS', message: `The id ${asked.target} is taken.`, field: 'id' };
  const taken = nameTaken(view, name, asked.target);
  if (taken !== undefined) return taken;
  if (args.source !== undefined) return admitCopy(asked, args.source.record.name);
  for (const [index, disk] of args.record.spec.disks.entries()) {
    if (disk.image === '') continue;
    const field = `spec.disks[${index}].image`;
    const image = view.image(disk.image);
    if (image === undefined) return { code: 'NOT_FOUND', message: `${field}: there is no image ${disk.image}.`, field };
    if (image.state !== 'ready') {
      const message = `${field}: the image ${image.name} is not ready (${image.stateReason || image.state}).`;
      return { code: 'WRONG_STATE', message, field, remedy: 'Finish its upload first.' };
    }
  }
  return volumeInUseEverywhere(args.record, view);
}

/** Where a host is left on which the volumes are free, placement finds it, and says of the others why not. */
function volumeInUseEverywhere(record: VmRecord, view: ClusterView): ErrorInfo | undefined {
  const { host: wish } = record.spec.placement;
  const hosts = [...view.hosts()].filter((host) => wish === '' || wish === host.id || wish === host.name);
  const refusals = hosts.map((host) => volumeInUse(record, host, view));
  return refusals.includes(undefined) ? undefined : refusals[0];
}

/** C-134: from a snapshot. */
function admitCopy({ source, view }: Asked, name: string): ErrorInfo | undefined {
  const field = 'from_snapshot.vm';
  const vm = source?.vm;
  if (vm === undefined || vm.settled === 'expunged')
    return { code: 'NOT_FOUND', message: `${field}: there is no VM ${name} any more.`, field };
  if (vm.settled === 'creating' || vm.settled === 'error') {
    const message = `${field}: ${name} is ${vm.settled}: its disks are not in order.`;
    return { code: 'WRONG_STATE', message, field, remedy: 'Look at it with `ostler vm show`.' };
  }
  const { holder } = source ?? {};
  if (holder !== undefined && MOVES_FILES.includes(holder.kind)) return operationRunning(vm, holder);
  return hostAway(vm, view);
}

function nameTaken(view: ClusterView, name: string, self: string): ErrorInfo | undefined {
  const owner = view.vmIdByName(name);
  if (owner === undefined || owner === self) return undefined;
  return {
    code: 'ALREADY_EXISTS',
    message: `name: ${name} is the name of another VM (${owner}).`,
    field: 'name',
    remedy: 'Choose another name, or expunge the other VM.',
    metadata: { vm: owner },
  };
}

function admitImageDelete({ target, image, view }: Asked): ErrorInfo | undefined {
  if (image === undefined) return { code: 'NOT_FOUND', message: `There is no image ${target}.` };
  const users = view.vmsUsingImage(target);
  if (users.length === 0) return undefined;
  return {
    code: 'IN_USE',
    message: `The image ${image.name} is the base of ${users.length} VM(s): ${users.slice(0, 5).join(', ')}.`,
    remedy: 'Expunge them first; a VM that was only deleted still has its disks.',
    metadata: { vms: users.slice(0, 50).join(',') },
  };
}

function admitVm(asked: Asked, kind: VmKind): ErrorInfo | undefined {
  const { vm, target, holder, view, actor } = asked;
  if (vm === undefined) return { code: 'NOT_FOUND', message: `There is no VM ${target}.` };
  if (holder !== undefined) return operationRunning(vm, holder);
  return (
    managedElsewhere(vm, actor) ?? wrongState(vm, kind) ?? guarded(asked, vm) ?? hostAway(vm, view) ?? byKind(asked, vm)
  );
}

export function operationRunning(vm: VmDoc, holder: OperationDoc): ErrorInfo {
  return {
    code: 'OPERATION_RUNNING',
    message: `${vm.record.name} is held by ${holder.kind} (${holder.id}): ${holder.detail || holder.state}.`,
    remedy: `Wait for it with \`ostler op wait ${holder.id}\`, or cancel it.`,
    metadata: { operation: holder.id, kind: holder.kind },
  };
}

/** C-021: what another system made, that system looks after; it may itself, by a token of its own name. */
function managedElsewhere(vm: VmDoc, actor: string): ErrorInfo | undefined {
  const { createdBy, name } = vm.record;
  if (createdBy === 'manual' || createdBy === actor || actor === 'controller') return undefined;
  return {
    code: 'WRONG_STATE',
    message: `${name} is managed by ${createdBy}: it cannot be changed by hand.`,
    remedy: `Change it in ${createdBy}.`,
    metadata: { created_by: createdBy },
  };
}

function wrongState(vm: VmDoc, kind: VmKind): ErrorInfo | undefined {
  const { verb, from, remedy } = RULES[kind];
  if (from.includes(vm.settled)) return undefined;
  // A domain that somebody removed is defined again by a start.
  if (kind === 'vm.start' && isMissing(vm)) return undefined;
  const why = vm.stateReason === '' ? '' : ` (${vm.stateReason})`;
  const hint = remedy[vm.settled];
  return {
    code: 'WRONG_STATE',
    message: `${vm.record.name} is ${vm.settled}${why}; only a VM that is ${orList(from)} can be ${verb}.`,
    ...(hint === undefined ? {} : { remedy: hint }),
    metadata: { state: vm.settled },
  };
}

/** What the VM itself forbids, whatever its host says. */
function guarded({ args, actor }: Asked, vm: VmDoc): ErrorInfo | undefined {
  const { name, spec } = vm.record;
  const deletes = args.kind === 'vm.delete' || args.kind === 'vm.expunge';
  if (deletes && spec.deleteProtection === true && actor !== 'controller') {
    const message = `${name} is protected from deletion.`;
    const remedy = `Take the protection away first: \`ostler vm set ${name} --delete-protection off\`.`;
    return { code: 'WRONG_STATE', message, remedy, metadata: { delete_protection: 'true' } };
  }
  if (!(deletes || args.kind === 'vm.stop') || args.force) return undefined;
  const state = { metadata: { state: vm.settled } };
  if (vm.settled === 'paused') {
    const message = `${name} is paused: its guest cannot shut down.`;
    return { code: 'WRONG_STATE', message, remedy: `${RESUME_FIRST} Or use \`--force\`.`, ...state };
  }
  if (vm.settled !== 'suspended' || args.kind !== 'vm.stop') return undefined;
  const message = `${name} is suspended: it is off, and its saved memory would be lost.`;
  return { code: 'WRONG_STATE', message, remedy: 'Resume it, or drop the saved memory with `--force`.', ...state };
}

function hostAway(vm: VmDoc, view: ClusterView): ErrorInfo | undefined {
  if (vm.hostId === '') return undefined;
  const host: HostEntry | undefined = view.host(vm.hostId);
  const metadata = { host: host?.name ?? vm.hostId };
  if (host?.online !== true) {
    const reason = host === undefined ? 'has no record any more' : host.reason;
    return {
      code: 'HOST_UNREACHABLE',
      message: `${vm.record.name} is on ${metadata.host}, which ${reason}.`,
      remedy: 'Look at the host and its agent; the VM itself may run on.',
      metadata,
    };
  }
  if (host.hypervisorConnected) return undefined;
  return {
    code: 'HYPERVISOR_UNAVAILABLE',
    message: `${vm.record.name} is on ${host.name}, whose libvirt does not answer: ${host.hypervisorReason}`,
    remedy: 'Look at libvirt on that host; the agent connects again by itself.',
    metadata,
  };
}

function byKind({ args, view }: Asked, vm: VmDoc): ErrorInfo | undefined {
  const copies = MOVES_FILES.includes(args.kind) ? view.copiesOf(vm.record.id) : [];
  if (copies.length > 0) return beingCopied(vm, copies);
  if (args.kind === 'vm.rebuild') return admitRebuild(args.spec, view);
  if (args.kind === 'vm.start' || (args.kind === 'vm.resume' && vm.settled === 'suspended')) return roomToRun(vm, view);
  if (args.kind === 'snapshot.revert') {
    if (args.memory) return vm.settled === 'running' ? undefined : roomToRun(vm, view);
    return vm.settled === 'running' ? revertsStopped(vm, args.name) : undefined;
  }
  if (args.kind === 'snapshot.create' && takesResetRoot(vm, args.wish)) return resetsRoot(vm);
  if (args.kind === 'snapshot.create' && args.wish.memory && vm.settled !== 'running') return hasNoMemory(vm);
  if (args.kind !== 'vm.update') return undefined;
  const { name, spec } = args.changes;
  const taken = name === undefined ? undefined : nameTaken(view, name, vm.record.id);
  if (spec !== undefined && vm.settled === 'suspended') return taken ?? holdsMemory(vm);
  if (taken !== undefined || spec === undefined) return taken;
  const host = view.host(vm.hostId);
  const used = host === undefined ? undefined : volumeInUse({ ...vm.record, spec }, host, view);
  return used ?? growthOff(vm, spec, view) ?? noRoom(vm, spec, view);
}

/** M-049: what the guide calls dynamic scaling may be switched off; a stopped VM grows all the same. */
function growthOff(vm: VmDoc, wanted: VmSpec, view: ClusterView): ErrorInfo | undefined {
  const { name, spec } = vm.record;
  if (view.policy.liveGrowth || (vm.settled !== 'running' && vm.settled !== 'paused')) return undefined;
  const cpu = wanted.cpu.vcpus !== spec.cpu.vcpus;
  if (!cpu && wanted.memory.sizeBytes === spec.memory.sizeBytes) return undefined;
  return {
    code: 'WRONG_STATE',
    message: `${name} runs, and changing ${cpu ? 'vCPUs' : 'memory'} while a VM runs is switched off here.`,
    field: cpu ? 'spec.cpu.vcpus' : 'spec.memory.size_bytes',
    remedy: 'Stop the VM first, change it, then start it; or set `liveGrowth: true` in controller.yaml.',
    metadata: { state: vm.settled },
  };
}

/** M-048, M-052: the VM's host must have room for what it becomes; if not, the VM runs on unchanged. */
function noRoom(vm: VmDoc, spec: VmSpec, view: ClusterView): ErrorInfo | undefined {
  const held = allocationOf(vm, undefined);
  const without = (host: HostEntry): HostEntry =>
    host.id === vm.hostId ? { ...host, allocated: addAllocation(host.allocated, held, -1) } : host;
  const rest: ClusterView = {
    ...view,
    hosts: function* () {
      for (const host of view.hosts()) yield without(host);
    },
  };
  const runs = vm.settled === 'running' || vm.settled === 'paused';
  const request = { record: { ...vm.record, spec }, runs, makesDisks: false, pinnedTo: vm.hostId };
  const answer = place(rest, request);
  if (answer.host !== undefined) return undefined;
  const name = view.host(vm.hostId)?.name ?? vm.hostId;
  const reason = answer.rejected[name] ?? 'is gone';
  return {
    code: 'NO_CAPACITY',
    message: `${vm.record.name} cannot grow on ${name}, which ${reason}. It is unchanged.`,
    remedy: 'Ask for less, or free some room on that host.',
    metadata: { [name]: reason },
  };
}

function roomToRun(vm: VmDoc, view: ClusterView): ErrorInfo | undefined {
  const request = { record: vm.record, runs: true, makesDisks: false, pinnedTo: vm.hostId };
  const answer = place(view, request);
  if (answer.host !== undefined) return undefined;
  const name = view.host(vm.hostId)?.name ?? vm.hostId;
  return noCapacity(vm.record.name, { [name]: answer.rejected[name] ?? 'is gone' });
}

/** Without names a snapshot takes the root disk, alone or with all others. */
function takesResetRoot({ record: { spec } }: VmDoc, { disks }: SnapshotWish): boolean {
  return spec.resetRootAtReboot === true && (disks.length === 0 || disks.includes(rootDisk(spec)?.name ?? ''));
}

/** M-034: a snapshot would keep the root disk from being made anew. */
function resetsRoot(vm: VmDoc): ErrorInfo {
  return {
    code: 'WRONG_STATE',
    message: `The root disk of ${vm.record.name} is made anew at every start (reset_root_at_reboot).`,
    remedy: 'Take snapshots of its other disks only: name them.',
    field: 'disks',
  };
}

/** The saved memory belongs to the hardware as it is. */
function holdsMemory(vm: VmDoc): ErrorInfo {
  return {
    code: 'WRONG_STATE',
    message: `${vm.record.name} is suspended: its saved memory fits only to its present hardware.`,
    remedy: 'Let it go on: `ostler vm resume`; or drop its saved memory with `ostler stop --force` first.',
    metadata: { state: vm.settled },
  };
}

/** C-132 */
function revertsStopped(vm: VmDoc, snapshot: string): ErrorInfo {
  const { name } = vm.record;
  return {
    code: 'WRONG_STATE',
    message: `${name} runs; ${snapshot} has no memory, so that the VM must be stopped to go back to it.`,
    remedy: `Stop it first: \`ostler stop ${name}\`.`,
    metadata: { state: vm.settled },
  };
}

/** C-134 */
function beingCopied(vm: VmDoc, copies: readonly string[]): ErrorInfo {
  const { name } = vm.record;
  return {
    code: 'IN_USE',
    message: `A snapshot of ${name} is being copied into ${copies.join(', ')}: none of its files may go meanwhile.`,
    remedy: 'Wait until that VM is made, or cancel its operation: `ostler op list`.',
    metadata: { vms: copies.slice(0, 50).join(',') },
  };
}

/** M-093 */
function hasNoMemory(vm: VmDoc): ErrorInfo {
  return {
    code: 'WRONG_STATE',
    message: `${vm.record.name} is ${vm.settled}: it has no memory to save.`,
    remedy: 'Start it first, or take a snapshot of its disks alone.',
    field: 'memory',
    metadata: { state: vm.settled },
  };
}

function admitRebuild(wish: VmSpec, view: ClusterView): ErrorInfo | undefined {
  for (const disk of wish.disks.filter((one) => one.image !== '')) {
    const image = view.image(disk.image);
    if (image === undefined) return { code: 'NOT_FOUND', message: `There is no image ${disk.image}.`, field: 'image' };
    if (image.state === 'ready') continue;
    const message = `image: ${image.name} is not ready (${image.stateReason || image.state}).`;
    return { code: 'WRONG_STATE', message, field: 'image', remedy: 'Finish its upload first.' };
  }
  return undefined;
}

function orList(words: readonly string[]): string {
  return words.length < 2 ? words.join('') : `${words.slice(0, -1).join(', ')} or ${words.at(-1) ?? ''}`;
}
