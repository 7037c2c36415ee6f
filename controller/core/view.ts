/** What decisions are made on: one moment of the cluster, indexed, so that a decision looks at hosts and not at VMs. */
import type { ImageDoc, OperationDoc, VmDoc } from './model.js';
import type { DomainReport, HostFacts } from '../../proto/model/host.js';
import type { VmSpec } from '../../proto/model/vm.js';

/** What the VMs of a host hold of it. */
export interface Allocation {
  readonly vcpus: number;
  readonly memoryBytes: number;
  /** VMs with anything on the host, running or not. */
  readonly vms: number;
}

export const NO_ALLOCATION: Allocation = { vcpus: 0, memoryBytes: 0, vms: 0 };

export interface HostEntry {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly schedulable: boolean;
  readonly joined: boolean;
  readonly online: boolean;
  /** Why it is not online; empty when it is. */
  readonly reason: string;
  readonly hypervisorConnected: boolean;
  readonly hypervisorReason: string;
  readonly facts: HostFacts | undefined;
  readonly allocated: Allocation;
  /** By UUID; undefined until the host's first inventory. */
  readonly domains: ReadonlyMap<string, DomainReport> | undefined;
}

/** A disk that is a volume by name: of a VM's record, or of what it is just becoming. */
export interface VolumeUse {
  readonly vmId: string;
  readonly vmName: string;
  /** Empty: on no host yet. */
  readonly hostId: string;
  readonly disk: string;
  /** Empty: the host's default one. */
  readonly pool: string;
  readonly volume: string;
}

/** What the operator may set. Ratios are plain numbers, sizes bytes, times milliseconds. */
export interface Policy {
  /** From soft deletion to the removal of the disks (M-022). */
  readonly purgeDelayMs: number;
  /** vCPUs that may be given out per CPU of a host. */
  readonly cpuOvercommit: number;
  /** Kept for the host itself, but never more than a quarter of its memory. */
  readonly memoryReserveBytes: number;
  /** Snapshots that a VM may have (M-089). */
  readonly maxSnapshots: number;
  /** Whether vCPUs and memory of a running VM may grow (M-049). */
  readonly liveGrowth: boolean;
  /** How long taking one may take (M-090). */
  readonly snapshotWaitSeconds: number;
}

export const DEFAULT_POLICY: Policy = {
  purgeDelayMs: 24 * 3600 * 1000,
  cpuOvercommit: 8,
  memoryReserveBytes: 512 * 1024 * 1024,
  maxSnapshots: 16,
  liveGrowth: true,
  snapshotWaitSeconds: 1800,
};

export interface ClusterView {
  /** Milliseconds since 1970. */
  readonly now: number;
  readonly policy: Policy;
  host(id: string): HostEntry | undefined;
  hosts(): Iterable<HostEntry>;
  image(id: string): ImageDoc | undefined;
  /** Id of the VM that has this name; expunged VMs have given theirs back. */
  vmIdByName(name: string): string | undefined;
  /** Ids of the VMs that are not expunged and have a disk of the image. */
  vmsUsingImage(imageId: string): readonly string[];
  /** Disks of VMs that are not expunged, by the file name of their volume, whatever pool it is in. */
  volumeUses(volume: string): readonly VolumeUse[];
  /** Names of the VMs that are just being made from snapshots of this one. */
  copiesOf(vmId: string): readonly string[];
}

/**
 * What a VM holds of its host. Memory and vCPUs are held while it runs or is on its way up: a stopped or created VM holds
 * none (C-126), so a start is checked against the capacity again.
 */
export function allocationOf(vm: VmDoc, operation: OperationDoc | undefined): Allocation {
  if (vm.hostId === '' || vm.settled === 'expunged') return NO_ALLOCATION;
  const up = vm.settled === 'running' || vm.settled === 'paused' || isStarting(operation);
  if (!up) return { vcpus: 0, memoryBytes: 0, vms: 1 };
  const { cpu, memory } = vm.record.spec;
  const wanted = growingTo(operation);
  return {
    vcpus: Math.max(cpu.vcpus, wanted?.cpu.vcpus ?? 0),
    memoryBytes: Math.max(memory.sizeBytes, wanted?.memory.sizeBytes ?? 0),
    vms: 1,
  };
}

/** What a VM is becoming is held from the moment it was admitted. */
function growingTo(operation: OperationDoc | undefined): VmSpec | undefined {
  return operation?.args.kind === 'vm.update' ? operation.args.changes.spec : undefined;
}

export function volumeUsesOf(vm: VmDoc, operation: OperationDoc | undefined): readonly VolumeUse[] {
  if (vm.settled === 'expunged') return [];
  const { record, hostId } = vm;
  const about = { vmId: record.id, vmName: record.name, hostId };
  const disks = [...record.spec.disks, ...(growingTo(operation)?.disks ?? [])];
  const uses = new Map<string, VolumeUse>();
  for (const { name, pool, volume } of disks)
    if (volume !== undefined) uses.set(`${name}/${volume}`, { ...about, disk: name, pool, volume });
  return [...uses.values()];
}

function isStarting(operation: OperationDoc | undefined): boolean {
  if (operation === undefined) return false;
  const { args } = operation;
  if (args.kind === 'snapshot.revert') return args.memory;
  return args.kind === 'vm.start' || args.kind === 'vm.resume' || (args.kind === 'vm.create' && args.start);
}

export function addAllocation(a: Allocation, b: Allocation, sign: 1 | -1 = 1): Allocation {
  return {
    vcpus: a.vcpus + sign * b.vcpus,
    memoryBytes: a.memoryBytes + sign * b.memoryBytes,
    vms: a.vms + sign * b.vms,
  };
}

/** Memory that VMs may have on the host, in bytes; 0 without facts. */
export function memoryCapacity(facts: HostFacts | undefined, policy: Policy): number {
  if (facts === undefined) return 0;
  return facts.memoryBytes - Math.min(policy.memoryReserveBytes, Math.floor(facts.memoryBytes / 4));
}
