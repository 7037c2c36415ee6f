/** Filters of placement: each says why a host cannot take the VM, or nothing. Cheap ones and plain reasons first. */
import { sizeText } from '../sizes.js';
import { volumeTaken } from '../volumes.js';
import { memoryCapacity, type ClusterView, type HostEntry } from '../view.js';
import type { HostFacts, PoolFacts } from '../../../proto/model/host.js';
import type { VmRecord } from '../../../proto/model/vm.js';

export interface PlaceRequest {
  readonly record: VmRecord;
  /** The VM will run at once: it needs its memory and vCPUs now. A VM that is only created needs room for its disks. */
  readonly runs: boolean;
  /** Disks are made there. */
  readonly makesDisks: boolean;
  /** Only this host (id) comes into question; empty: any. */
  readonly pinnedTo: string;
}

/** Why the host cannot; undefined: it can. The sentence's subject is the host's name. */
export type Filter = (host: HostEntry, request: PlaceRequest, view: ClusterView) => string | undefined;

const joined: Filter = (host) => (host.joined ? undefined : 'has not joined yet');

const online: Filter = (host) => (host.online ? undefined : host.reason);

const hypervisor: Filter = (host) => {
  if (!host.hypervisorConnected) return `has no libvirt: ${host.hypervisorReason}`;
  return host.facts === undefined ? 'has not told its facts yet' : undefined;
};

const schedulable: Filter = (host, request) =>
  host.schedulable || request.pinnedTo !== '' ? undefined : 'is cordoned: it takes no new VM';

const wish: Filter = (host, { record, pinnedTo }) => {
  if (pinnedTo !== '') return host.id === pinnedTo ? undefined : 'is not where the disks of the VM are';
  const wanted = record.spec.placement.host;
  if (wanted === '' || wanted === host.id || wanted === host.name) return undefined;
  return `is not the host asked for (${wanted})`;
};

const tags: Filter = (host, { record }) => {
  const missing = record.spec.placement.requiredTags.filter((tag) => !host.tags.includes(tag));
  return missing.length === 0 ? undefined : `lacks the tag ${missing.join(', ')}`;
};

const cpus: Filter = (host, { record, runs }, view) => {
  const has = host.facts?.cpus ?? 0;
  const wants = record.spec.cpu.vcpus;
  const limit = Math.floor(has * view.policy.cpuOvercommit);
  if (wants > limit) return `has ${has} CPUs, good for ${limit} vCPUs; the VM wants ${wants}`;
  if (!runs || host.allocated.vcpus + wants <= limit) return undefined;
  return `has ${Math.max(0, limit - host.allocated.vcpus)} of ${limit} vCPUs left; the VM wants ${wants}`;
};

const memory: Filter = (host, { record, runs }, view) => {
  const capacity = memoryCapacity(host.facts, view.policy);
  const wants = record.spec.memory.sizeBytes;
  if (wants > capacity) return `has ${sizeText(capacity)} of memory for VMs; the VM wants ${sizeText(wants)}`;
  const free = capacity - host.allocated.memoryBytes;
  if (!runs || wants <= free) return undefined;
  return `has ${sizeText(Math.max(0, free))} of ${sizeText(capacity)} memory left; the VM wants ${sizeText(wants)}`;
};

const cpuModel: Filter = (host, { record }) => {
  const { model } = record.spec.cpu;
  const facts = host.facts;
  if (facts === undefined || model === '' || model === 'host-model' || model === 'maximum') return undefined;
  if (model === 'host-passthrough') {
    return facts.accelerator === 'kvm' ? undefined : `cannot pass its CPU through: ${facts.acceleratorReason}`;
  }
  return facts.cpuModels.includes(model) ? undefined : `cannot give a guest the CPU model ${model}`;
};

const bridges: Filter = (host, { record }) => {
  for (const { bridge } of record.spec.nics) {
    if (bridge === '') {
      if ((host.facts?.defaultBridge ?? '') === '') return 'has no default bridge';
    } else if (host.facts?.bridges.includes(bridge) !== true) return `has no bridge ${bridge}`;
  }
  return undefined;
};

const uefi: Filter = (host, { record }) =>
  record.spec.firmware === 'bios' || host.facts?.uefi === true ? undefined : 'has no UEFI firmware for guests';

/** Disks are thin: a pool must be larger than each disk, and have room for what is copied at once (full clones). */
const pools: Filter = (host, { record, makesDisks }, view) => {
  const { facts } = host;
  if (facts === undefined) return undefined;
  const copies = new Map<PoolFacts, number>();
  for (const disk of record.spec.disks) {
    const pool = poolOf(facts, disk.pool);
    if (typeof pool === 'string') return pool;
    if (!makesDisks) continue;
    if (disk.device === 'disk' && disk.sizeBytes > pool.capacityBytes) {
      return `has a pool ${pool.name} of ${sizeText(pool.capacityBytes)}; disk ${disk.name} wants ${sizeText(disk.sizeBytes)}`;
    }
    const copied = disk.clone === 'full' && disk.device === 'disk' ? (view.image(disk.image)?.fileBytes ?? 0) : 0;
    copies.set(pool, (copies.get(pool) ?? 0) + copied);
  }
  for (const [pool, bytes] of copies) {
    if (bytes + POOL_RESERVE > pool.availableBytes) {
      return `has ${sizeText(pool.availableBytes)} left in pool ${pool.name}; the disks need ${sizeText(bytes + POOL_RESERVE)}`;
    }
  }
  return undefined;
};

/** Room that a pool must have left for the metadata of overlays and the seed: 16 MiB. */
const POOL_RESERVE = 16 * 1024 * 1024;

function poolOf(facts: HostFacts, wanted: string): PoolFacts | string {
  const name = wanted === '' ? facts.defaultPool : wanted;
  if (name === '') return 'has no default pool';
  const pool = facts.pools.find((one) => one.name === name);
  if (pool === undefined) return `has no pool ${name}`;
  return pool.active ? pool : `has the pool ${name}, but it is not active`;
}

/** C-076: a volume has one disk. */
const volumes: Filter = (host, { record, makesDisks }, view) => {
  const taken = makesDisks ? volumeTaken(record, host, view) : undefined;
  return taken === undefined ? undefined : `has the volume ${taken.volume}, but it is a disk of ${taken.vmName}`;
};

export const FILTERS: readonly Filter[] = [
  joined,
  wish,
  online,
  hypervisor,
  schedulable,
  tags,
  cpus,
  memory,
  cpuModel,
  bridges,
  uefi,
  pools,
  volumes,
];
