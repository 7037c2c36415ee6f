/**
 * A change of a VM's spec by paths: what is named is taken from what was sent, all else stays. Pure: ids, MACs and images
 * come in as data. Whether a running VM can take it is the agent's to say, who sees the domain.
 */
import type { VmSpec } from '../../proto/model/vm.js';
import { completeSpec, type Given, type VmDraft } from './vm-defaults.js';

/** Paths below `spec.` that can be named; a path that ends in a dot stands for everything below it. */
export const SPEC_PATHS = [
  'cpu.vcpus',
  'cpu.max_vcpus',
  'cpu.sockets',
  'cpu.cores',
  'cpu.threads',
  'cpu.model',
  'memory.size_bytes',
  'memory.max_size_bytes',
  'disks',
  'nics',
  'os_type',
  'firmware',
  'boot_order',
  'cloud_init',
  'shutdown_timeout_seconds',
  'on_shutdown_timeout',
  'placement',
] as const;
export type SpecPath = (typeof SPEC_PATHS)[number];

/** `cpu` stands for all its fields; undefined: nothing of a spec. `spec.` in front may be left out. */
export function specPathsOf(path: string): readonly SpecPath[] | undefined {
  const bare = path.replace(/^spec\./, '').replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  if (bare === 'spec') return SPEC_PATHS;
  const found = SPEC_PATHS.filter((known) => known === bare || known.startsWith(`${bare}.`));
  return found.length === 0 ? undefined : found;
}

/** A candidate for the schema of specs, and the draft that it was made of. `draft` is what was sent. */
export function changedSpec(
  current: VmSpec,
  draft: VmDraft,
  paths: readonly SpecPath[],
  given: Given,
): { readonly spec: VmSpec; readonly draft: VmDraft } {
  const named = new Set<SpecPath>(paths);
  const disks = named.has('disks')
    ? draft.disks.map((disk) => ({ ...disk, ...kept(current.disks, disk), ...said(disk) }))
    : current.disks;
  const nics = named.has('nics')
    ? draft.nics.map((nic) => ({ ...nic, ...kept(current.nics, nic), ...said(nic) }))
    : current.nics;
  const cloudInit = named.has('cloud_init') ? keepHidden(current, draft) : current.cloudInit;
  const merged: VmDraft = {
    cpu: changedCpu(current.cpu, draft.cpu, named),
    memory: {
      sizeBytes: named.has('memory.size_bytes') ? draft.memory.sizeBytes : current.memory.sizeBytes,
      maxSizeBytes: changedMaxMemory(current, draft, named),
    },
    disks,
    nics,
    osType: named.has('os_type') ? draft.osType : current.osType,
    firmware: named.has('firmware') ? draft.firmware : current.firmware,
    bootOrder: named.has('boot_order') ? draft.bootOrder : [],
    cloudInit,
    shutdownTimeoutSeconds: named.has('shutdown_timeout_seconds')
      ? draft.shutdownTimeoutSeconds
      : current.shutdownTimeoutSeconds,
    onShutdownTimeout: named.has('on_shutdown_timeout') ? draft.onShutdownTimeout : current.onShutdownTimeout,
    placement: named.has('placement') ? draft.placement : current.placement,
    ...switchesOf(current),
  };
  const spec = completeSpec(merged, given);
  const ordered = named.has('boot_order') ? spec : { ...spec, bootOrder: keptOrder(current, spec) };
  return { spec: ordered, draft: merged };
}

/** Two of them are changed by a way of their own, the others are for ever. */
function switchesOf(spec: VmSpec): Pick<VmDraft, 'autostart' | 'deleteProtection' | 'tpm' | 'resetRootAtReboot'> {
  return {
    ...(spec.autostart === true ? { autostart: true } : {}),
    ...(spec.deleteProtection === true ? { deleteProtection: true } : {}),
    ...(spec.tpm === true ? { tpm: true } : {}),
    ...(spec.resetRootAtReboot === true ? { resetRootAtReboot: true } : {}),
  };
}

/** A device of the same name keeps what is not said anew; the medium of a CD-ROM is always said. */
function kept<D extends { readonly name: string }>(
  devices: readonly D[],
  draft: { readonly name: string },
): Partial<D> {
  const old = devices.find((one) => one.name === draft.name);
  if (old === undefined) return {};
  const optional = new Set(['limits', 'vlan']);
  return Object.fromEntries(Object.entries(old).filter(([key]) => !optional.has(key))) as Partial<D>;
}

/** Fields that are '' or 0 or undefined are not said, but for those where that is a value. */
function said<D extends object>(draft: D): Partial<D> {
  const { device } = draft as { readonly device?: string };
  const isSaid = ([key, value]: [string, unknown]): boolean => {
    if (key === 'image' && device === 'cdrom') return true;
    if (key === 'bridge' || key === 'mtu') return true;
    return value !== undefined && value !== '' && value !== 0;
  };
  return Object.fromEntries(Object.entries(draft).filter(isSaid)) as Partial<D>;
}

/**
 * Topology: a new ceiling keeps threads and sockets where they divide it, and cores follow; a new layout without a new
 * ceiling makes the ceiling. The number of vCPUs moves the ceiling only where there was no room between the two.
 */
function changedCpu(current: VmSpec['cpu'], draft: VmDraft['cpu'], named: ReadonlySet<SpecPath>): VmDraft['cpu'] {
  const vcpus = named.has('cpu.vcpus') ? draft.vcpus : current.vcpus;
  const model = named.has('cpu.model') ? draft.model : current.model;
  const layout = (['cpu.sockets', 'cpu.cores', 'cpu.threads'] as const).some((path) => named.has(path));
  const roomless = current.vcpus === current.maxVcpus && vcpus !== current.vcpus;
  const ceiling = named.has('cpu.max_vcpus') ? draft.maxVcpus : roomless && !layout ? vcpus : undefined;
  if (ceiling === undefined && !layout) return { ...current, vcpus, model };
  const threads = named.has('cpu.threads') ? draft.threads : current.threads;
  const sockets = named.has('cpu.sockets') ? draft.sockets : current.sockets;
  if (ceiling !== undefined) {
    const cores = named.has('cpu.cores') ? draft.cores : undefined;
    const divides = ceiling % ((sockets ?? 1) * (threads ?? 1)) === 0;
    const keeps = divides || named.has('cpu.sockets') ? sockets : undefined;
    return { vcpus, maxVcpus: ceiling, sockets: keeps, cores, threads, model };
  }
  const cores = named.has('cpu.cores') ? draft.cores : current.cores;
  return { vcpus, maxVcpus: (sockets ?? 1) * (cores ?? 1) * (threads ?? 1), sockets, cores, threads, model };
}

/** Without room for growth the ceiling is the size, so it moves with it. */
function changedMaxMemory(current: VmSpec, draft: VmDraft, named: ReadonlySet<SpecPath>): number | undefined {
  if (named.has('memory.max_size_bytes')) return draft.memory.maxSizeBytes;
  const { sizeBytes, maxSizeBytes } = current.memory;
  return sizeBytes === maxSizeBytes && named.has('memory.size_bytes') ? draft.memory.sizeBytes : maxSizeBytes;
}

/** Hash and user data are not part of what is shown, so they cannot come back: what stands in their place keeps them. */
function keepHidden({ cloudInit: current }: VmSpec, { cloudInit: sent }: VmDraft): VmDraft['cloudInit'] {
  const sameHash = sent.passwordHash === '' || sent.passwordHash === '********';
  return {
    ...sent,
    passwordHash: sameHash ? current.passwordHash : sent.passwordHash,
    userData: sent.userData === '' ? current.userData : sent.userData,
  };
}

/** As it was, without what is gone; what is new comes last. */
function keptOrder(current: VmSpec, spec: VmSpec): string[] {
  const names = [...spec.disks, ...spec.nics].map((device) => device.name);
  const stay = current.bootOrder.filter((name) => names.includes(name));
  return [...stay, ...names.filter((name) => !stay.includes(name))];
}
