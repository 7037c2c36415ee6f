/**
 * What a person did not say: fills a draft up to a complete candidate, which then goes through the schema. Pure: ids, MACs and
 * images come in as data. The defaults per OS type are in one table (V-12).
 */
import type { CloudInit } from '../../proto/model/cloud-init.js';
import type { ImageDefaults, ImageFormat } from '../../proto/model/image.js';
import { MIB, type Disk, type DiskLimits, type Nic, type VmSpec } from '../../proto/model/vm.js';

/** Structurally what proto/convert's `vmSpecDraftFromWire` gives; undefined and '' are "not said". */
export interface VmDraft {
  readonly cpu: {
    readonly vcpus: number | undefined;
    readonly maxVcpus: number | undefined;
    readonly sockets: number | undefined;
    readonly cores: number | undefined;
    readonly threads: number | undefined;
    readonly model: string;
  };
  readonly memory: { readonly sizeBytes: number | undefined; readonly maxSizeBytes: number | undefined };
  readonly disks: readonly DiskDraft[];
  readonly nics: readonly NicDraft[];
  readonly osType: VmSpec['osType'] | undefined;
  readonly firmware: VmSpec['firmware'] | undefined;
  readonly bootOrder: readonly string[];
  readonly cloudInit: Omit<CloudInit, 'scripts'> & {
    readonly scripts: readonly {
      readonly name: string;
      readonly order: number;
      readonly stage: CloudInit['scripts'][number]['stage'] | undefined;
      readonly content: string;
    }[];
  };
  readonly shutdownTimeoutSeconds: number | undefined;
  readonly onShutdownTimeout: VmSpec['onShutdownTimeout'] | undefined;
  readonly placement: VmSpec['placement'];
  readonly autostart?: boolean;
  readonly deleteProtection?: boolean;
  readonly tpm?: boolean;
  readonly resetRootAtReboot?: boolean;
}

export interface DiskDraft {
  readonly name: string;
  readonly image: string;
  readonly sizeBytes: number;
  readonly pool: string;
  readonly bus: Disk['bus'] | undefined;
  readonly device: Disk['device'] | undefined;
  readonly clone: Disk['clone'] | undefined;
  readonly limits?: DiskLimits;
  readonly volume?: string;
}

export interface NicDraft {
  readonly name: string;
  readonly bridge: string;
  readonly mac: string;
  readonly model: Nic['model'] | undefined;
  readonly mtu: number;
  readonly vlan?: number;
}

/** An image that a disk names, looked up. */
export interface KnownImage {
  readonly id: string;
  readonly format: ImageFormat;
  readonly virtualSizeBytes: number;
  readonly osType: VmSpec['osType'];
  readonly defaults: ImageDefaults;
}

export interface Given {
  /** By what the disk says (name or id). */
  readonly images: ReadonlyMap<string, KnownImage>;
  /** One unused MAC for each NIC, in order. */
  readonly macs: readonly string[];
}

/** V-12: with `linux` everything is virtio; without known drivers in the guest, devices that every system has. */
interface OsDefaults {
  readonly diskBus: Disk['bus'];
  readonly nicModel: Nic['model'];
  readonly firmware: VmSpec['firmware'];
}
const OS_DEFAULTS: Readonly<Record<VmSpec['osType'], OsDefaults>> = {
  linux: { diskBus: 'virtio', nicModel: 'virtio', firmware: 'bios' },
  windows: { diskBus: 'sata', nicModel: 'e1000e', firmware: 'bios' },
  other: { diskBus: 'sata', nicModel: 'e1000e', firmware: 'bios' },
};

export const DEFAULT_USER = 'ostler'; // C-085
export const DEFAULT_MEMORY_BYTES = 1024 * MIB;
/** V-15: below it most guests are unhappy; a hint, not a limit. */
export const RECOMMENDED_MEMORY_BYTES = 512 * MIB;
const DEFAULT_SHUTDOWN_SECONDS = 90; // C-125

/** A candidate for `vmSpecSchema`, which has the last word on every field. */
export function completeSpec(draft: VmDraft, given: Given): VmSpec {
  const system = systemImage(draft, given);
  const osType = draft.osType ?? system?.osType ?? 'linux';
  const defaults = { ...OS_DEFAULTS[osType], ...system?.defaults };
  const disks = completeDisks(draft.disks, given, defaults);
  const taken = new Set(disks.map((disk) => disk.name));
  const nics = completeNics(draft.nics, given, defaults, taken);
  const sizeBytes = draft.memory.sizeBytes ?? DEFAULT_MEMORY_BYTES;
  return {
    cpu: completeCpu(draft.cpu),
    memory: { sizeBytes, maxSizeBytes: draft.memory.maxSizeBytes ?? sizeBytes },
    disks,
    nics,
    osType,
    firmware: draft.firmware ?? defaults.firmware,
    bootOrder: draft.bootOrder.length > 0 ? [...draft.bootOrder] : defaultBootOrder(disks, nics),
    cloudInit: {
      ...draft.cloudInit,
      user: draft.cloudInit.user === '' ? DEFAULT_USER : draft.cloudInit.user,
      scripts: draft.cloudInit.scripts.map((script) => ({ ...script, stage: script.stage ?? 'boot' })), // C-090
    },
    shutdownTimeoutSeconds: draft.shutdownTimeoutSeconds ?? DEFAULT_SHUTDOWN_SECONDS,
    onShutdownTimeout: draft.onShutdownTimeout ?? 'keep-running',
    placement: draft.placement,
    ...(draft.autostart === true ? { autostart: true } : {}),
    ...(draft.deleteProtection === true ? { deleteProtection: true } : {}),
    ...(draft.tpm === true ? { tpm: true } : {}),
    ...(draft.resetRootAtReboot === true ? { resetRootAtReboot: true } : {}),
  };
}

/** The first disk's image: whoever imported it knew what is inside, and what that needs. M-031 */
function systemImage(draft: VmDraft, given: Given): KnownImage | undefined {
  for (const disk of draft.disks) {
    const image = given.images.get(disk.image);
    if (image !== undefined && image.format !== 'iso') return image;
  }
  return undefined;
}

/**
 * Topology: what is said stays; threads default to 1 (a guest sees no hyper-threading that the host may not have), sockets to 1,
 * cores to what is left. Where the numbers do not work out, the schema refuses them naming the field.
 */
export function completeCpu(cpu: VmDraft['cpu']): VmSpec['cpu'] {
  const threads = cpu.threads ?? 1;
  const product = (cpu.sockets ?? 1) * (cpu.cores ?? 1) * threads;
  const saysShape = cpu.sockets !== undefined && cpu.cores !== undefined;
  const vcpus = cpu.vcpus ?? Math.min(cpu.maxVcpus ?? product, product);
  const maxVcpus = cpu.maxVcpus ?? (saysShape ? Math.max(product, vcpus) : vcpus);
  const whole = (value: number): number => Math.max(1, Math.floor(value));
  const sockets = cpu.sockets ?? (cpu.cores === undefined ? 1 : whole(maxVcpus / (cpu.cores * threads)));
  const cores = cpu.cores ?? whole(maxVcpus / (sockets * threads));
  return { vcpus, maxVcpus, sockets, cores, threads, model: cpu.model };
}

function completeDisks(drafts: readonly DiskDraft[], given: Given, defaults: OsDefaults): Disk[] {
  const taken = new Set(drafts.map((disk) => disk.name));
  return drafts.map((draft, index) => {
    const image = given.images.get(draft.image);
    const device = draft.device ?? (image?.format === 'iso' ? 'cdrom' : 'disk'); // V-18
    const isCdrom = device === 'cdrom';
    const first = index === 0 && !isCdrom ? ['root'] : [];
    return {
      name: draft.name === '' ? freeName(first, isCdrom ? 'cdrom' : 'disk', taken) : draft.name,
      image: image?.id ?? draft.image,
      sizeBytes: isCdrom ? 0 : draft.sizeBytes === 0 ? (image?.virtualSizeBytes ?? 0) : draft.sizeBytes,
      pool: draft.pool,
      bus: draft.bus ?? (isCdrom ? 'sata' : defaults.diskBus),
      device,
      clone: draft.clone ?? 'overlay',
      ...(draft.limits === undefined ? {} : { limits: draft.limits }),
      ...(draft.volume === undefined ? {} : { volume: draft.volume }),
    };
  });
}

/** C-063: whoever names no NIC gets none, and the schema refuses that. */
function completeNics(drafts: readonly NicDraft[], given: Given, defaults: OsDefaults, disks: Set<string>): Nic[] {
  const taken = new Set([...disks, ...drafts.map((nic) => nic.name)]);
  return drafts.map((draft, index) => ({
    name: draft.name === '' ? freeName([], 'nic', taken) : draft.name,
    bridge: draft.bridge,
    mac: draft.mac === '' ? (given.macs[index] ?? '') : draft.mac.toLowerCase(),
    model: draft.model ?? defaults.nicModel,
    mtu: draft.mtu,
    ...(draft.vlan === undefined ? {} : { vlan: draft.vlan }),
  }));
}

/** The first of `wishes`, `stem0`, `stem1` … that is not taken; it is taken then. */
function freeName(wishes: readonly string[], stem: string, taken: Set<string>): string {
  let name = wishes.find((wish) => !taken.has(wish));
  for (let number = 0; name === undefined; number += 1) {
    if (!taken.has(`${stem}${number}`)) name = `${stem}${number}`;
  }
  taken.add(name);
  return name;
}

/** Disks with a system on them, then CD-ROMs, then blank disks, then the network. */
export function defaultBootOrder(disks: readonly Disk[], nics: readonly Nic[]): string[] {
  const rank = (disk: Disk): number => (disk.device === 'cdrom' ? 1 : disk.image !== '' ? 0 : 2);
  const ordered = [0, 1, 2].flatMap((wanted) => disks.filter((disk) => rank(disk) === wanted));
  return [...ordered.map((disk) => disk.name), ...nics.map((nic) => nic.name)];
}

export interface Contradiction {
  /** Below the spec: `disks[0].size_bytes`. */
  readonly field: string;
  readonly why: string;
}

/** What a schema of one spec cannot see: contradictions with the images, and fields that would be ignored in silence. */
export function findContradiction(draft: VmDraft, spec: VmSpec, given: Given): Contradiction | undefined {
  for (const [index, disk] of spec.disks.entries()) {
    const image = given.images.get(draft.disks[index]?.image ?? '');
    const why = diskContradiction(disk, image, draft.disks[index]?.sizeBytes ?? 0);
    if (why !== undefined) return { field: `disks[${index}].${why.field}`, why: why.why };
  }
  if (new Set(spec.bootOrder).size !== spec.bootOrder.length)
    return { field: 'boot_order', why: 'names a device twice' };
  const { cloudInit } = draft;
  const seeds = [cloudInit.user, cloudInit.passwordHash, cloudInit.userData, cloudInit.networkConfig];
  const saysSeed = seeds.some((text) => text !== '') || cloudInit.sshKeys.length > 0 || cloudInit.scripts.length > 0;
  if (saysSeed && !cloudInit.enabled)
    return { field: 'cloud_init.enabled', why: 'is false, but other fields of cloud_init are given' };
  return undefined;
}

function diskContradiction(
  disk: Disk,
  image: KnownImage | undefined,
  saidBytes: number,
): { readonly field: string; readonly why: string } | undefined {
  if (disk.device === 'cdrom') {
    if (saidBytes !== 0) return { field: 'size_bytes', why: "is given for a CD-ROM, whose size is its image's" };
    if (image !== undefined && image.format !== 'iso')
      return { field: 'image', why: 'is not an ISO, but the device is a CD-ROM' };
    return undefined;
  }
  if (image === undefined) return undefined;
  if (image.format === 'iso') return { field: 'image', why: 'is an ISO, which only a CD-ROM takes' };
  if (disk.sizeBytes < image.virtualSizeBytes)
    return { field: 'size_bytes', why: `is smaller than the image, which needs ${image.virtualSizeBytes} bytes` };
  return undefined;
}
