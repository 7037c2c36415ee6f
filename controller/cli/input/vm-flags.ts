import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { ostler } from '../../../proto/gen/ostler.js';
import { invalidField } from '../../../proto/kit/errors.js';
import { usageError } from '../errors.js';
import { parseSeconds } from './duration.js';
import { parseChoice, parseCount, parseKeyValues, parseLabel } from './key-values.js';
import { parseSize } from './size.js';

const { v1 } = ostler;
type Request = ostler.v1.CreateVmRequest.$Properties;
type Spec = ostler.v1.VmSpec.$Properties;

/** `vm create`'s flags as commander gives them; every value is still text. */
export interface VmFlags {
  /** VM/SNAPSHOT */
  readonly fromSnapshot?: string;
  readonly image?: string;
  readonly iso?: string;
  readonly cpus?: string;
  readonly maxCpus?: string;
  readonly sockets?: string;
  readonly cores?: string;
  readonly threads?: string;
  readonly cpuModel?: string;
  readonly memory?: string;
  readonly maxMemory?: string;
  readonly disk?: readonly string[];
  readonly diskSize?: string;
  readonly diskBus?: string;
  readonly pool?: string;
  readonly clone?: string;
  readonly nic?: readonly string[];
  readonly user?: string;
  readonly sshKey?: readonly string[];
  readonly userData?: string;
  readonly networkConfig?: string;
  readonly script?: readonly string[];
  /** False with --no-cloud-init. */
  readonly cloudInit: boolean;
  readonly displayName?: string;
  readonly description?: string;
  readonly label?: readonly string[];
  readonly os?: string;
  readonly firmware?: string;
  readonly host?: string;
  readonly tag?: readonly string[];
  readonly shutdownTimeout?: string;
  readonly forceAfter?: boolean;
  readonly bootOrder?: string;
  readonly autostart?: boolean;
  readonly deleteProtection?: boolean;
  readonly tpm?: boolean;
  readonly resetRoot?: boolean;
}

export const OS_TYPES = { linux: v1.OsType.LINUX, windows: v1.OsType.WINDOWS, other: v1.OsType.OTHER } as const;
export const FIRMWARES = { bios: v1.Firmware.BIOS, uefi: v1.Firmware.UEFI } as const;
export const BUSES = { virtio: v1.DiskBus.VIRTIO, scsi: v1.DiskBus.SCSI, sata: v1.DiskBus.SATA } as const;
export const DEVICES = { disk: v1.DiskDevice.DISK, cdrom: v1.DiskDevice.CDROM } as const;
export const CLONES = { overlay: v1.CloneMode.OVERLAY, full: v1.CloneMode.FULL } as const;
export const NIC_MODELS = { virtio: v1.NicModel.NIC_VIRTIO, e1000e: v1.NicModel.E1000E } as const;
export const STAGES = {
  'pre-network': v1.ScriptStage.PRE_NETWORK,
  boot: v1.ScriptStage.BOOT,
  final: v1.ScriptStage.FINAL,
} as const;

export function choose<T>(text: string | undefined, flag: string, words: Readonly<Record<string, T>>): T | undefined {
  if (text === undefined) return undefined;
  return words[parseChoice(text, flag, Object.keys(words))];
}

export function optional<T>(text: string | undefined, parse: (text: string) => T): T | undefined {
  return text === undefined ? undefined : parse(text);
}

/** Drops the fields that are undefined: what is not said is the server's to decide. */
export function said<T extends object>(fields: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]: Exclude<T[K], undefined>;
  };
}

export function readText(path: string, flag: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    throw invalidField(flag, `cannot read ${path}: ${(error as Error).message}`);
  }
}

/** The request that the flags describe, without a password. INVALID_FIELD names the flag at fault. */
export function requestFromFlags(name: string, flags: VmFlags): Request {
  const source = optional(flags.fromSnapshot, sourceOf);
  return said({
    fromSnapshot: source,
    name,
    displayName: flags.displayName,
    description: flags.description,
    labels: Object.fromEntries((flags.label ?? []).map((text) => parseLabel(text, '--label'))),
    spec: source === undefined ? specFromFlags(flags) : changesFromFlags(flags),
  });
}

function specFromFlags(flags: VmFlags): Spec {
  return {
    cpu: cpuOf(flags),
    memory: memoryOf(flags),
    disks: disksOf(flags),
    nics: nicsOf(flags),
    cloudInit: cloudInitOf(flags),
    ...specRest(flags),
  };
}

function memoryOf(flags: VmFlags): ostler.v1.Memory.$Properties {
  return said({
    sizeBytes: parseSize(required(flags.memory, '--memory', '--memory 2GiB'), '--memory'),
    maxSizeBytes: optional(flags.maxMemory, (text) => parseSize(text, '--max-memory')),
  });
}

function specRest(flags: VmFlags): Spec {
  return said({
    osType: choose(flags.os, '--os', OS_TYPES),
    firmware: choose(flags.firmware, '--firmware', FIRMWARES),
    bootOrder: flags.bootOrder?.split(','),
    shutdownTimeoutSeconds: optional(flags.shutdownTimeout, (text) => parseSeconds(text, '--shutdown-timeout')),
    onShutdownTimeout: flags.forceAfter === true ? v1.TimeoutAction.FORCE_OFF : undefined,
    placement: flags.host === undefined && flags.tag === undefined ? undefined : placementOf(flags),
    autostart: flags.autostart,
    deleteProtection: flags.deleteProtection,
    tpm: flags.tpm,
    resetRootAtReboot: flags.resetRoot,
  });
}

function sourceOf(text: string): ostler.v1.SnapshotSource.$Properties {
  const [vm = '', snapshot = '', ...rest] = text.split('/');
  if (vm === '' || snapshot === '' || rest.length > 0)
    throw invalidField('--from-snapshot', `${text} is not VM/SNAPSHOT`, 'Write it as web1/before-upgrade.');
  return { vm, snapshot };
}

const DISK_FLAGS = ['image', 'iso', 'disk', 'diskSize', 'diskBus', 'pool', 'clone', 'resetRoot'] as const;

/** What is to differ from the VM that has the snapshot; what is not said is that VM's. */
function changesFromFlags(flags: VmFlags): Spec {
  const disks = DISK_FLAGS.find((flag) => flags[flag] !== undefined);
  if (disks !== undefined) {
    const flag = `--${disks.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    const remedy = 'The disks are those of the snapshot; add others when the VM is there.';
    throw usageError(`--from-snapshot and ${flag} exclude each other.`, remedy, flag);
  }
  const { cpus, maxCpus, sockets, cores, threads, cpuModel } = flags;
  const cpuSaid = [cpus, maxCpus, sockets, cores, threads, cpuModel].some((value) => value !== undefined);
  const seed = cloudInitOf(flags);
  const seedSaid = !flags.cloudInit || seed.enabled === true;
  const memory = flags.memory === undefined && flags.maxMemory === undefined ? undefined : memoryOf(flags);
  return said({
    ...specRest(flags),
    cpu: cpuSaid ? cpuOf(flags) : undefined,
    memory,
    nics: flags.nic === undefined ? undefined : nicsOf(flags),
    cloudInit: seedSaid ? seed : undefined,
  });
}

function placementOf(flags: VmFlags): ostler.v1.Placement.$Properties {
  return { host: flags.host ?? '', requiredTags: [...(flags.tag ?? [])] };
}

function required(text: string | undefined, flag: string, example: string): string {
  if (text === undefined) throw usageError(`${flag} is missing.`, `Add it: ${example}`, flag);
  return text;
}

function cpuOf(flags: VmFlags): ostler.v1.Cpu.$Properties {
  return said({
    vcpus: parseCount(flags.cpus ?? '1', '--cpus'),
    maxVcpus: optional(flags.maxCpus, (text) => parseCount(text, '--max-cpus')),
    sockets: optional(flags.sockets, (text) => parseCount(text, '--sockets')),
    cores: optional(flags.cores, (text) => parseCount(text, '--cores')),
    threads: optional(flags.threads, (text) => parseCount(text, '--threads')),
    model: flags.cpuModel,
  });
}

/** The root disk comes first (it boots), then the installer's CD-ROM, then the data disks. */
function disksOf(flags: VmFlags): ostler.v1.Disk.$Properties[] {
  if (flags.image === undefined && flags.iso === undefined)
    throw usageError(
      'Neither --image nor --iso is given.',
      'Name what to boot: --image debian-12, or --iso installer.',
    );
  if (flags.image !== undefined && flags.iso !== undefined)
    throw usageError(
      '--image and --iso exclude each other.',
      'A second CD-ROM is --disk device=cdrom,image=NAME.',
      '--iso',
    );
  const sizeBytes = optional(flags.diskSize, (text) => parseSize(text, '--disk-size'));
  if (flags.iso !== undefined && sizeBytes === undefined)
    throw usageError(
      '--iso needs --disk-size: the system is installed on a blank disk.',
      'Add --disk-size 20GiB.',
      '--disk-size',
    );
  const root = said({
    name: 'root',
    image: flags.image,
    sizeBytes,
    pool: flags.pool,
    bus: choose(flags.diskBus, '--disk-bus', BUSES),
    clone: choose(flags.clone, '--clone', CLONES),
  });
  const iso = flags.iso === undefined ? [] : [{ name: 'iso', image: flags.iso, device: v1.DiskDevice.CDROM }];
  return [root, ...iso, ...(flags.disk ?? []).map((text, index) => diskOf(text, index))];
}

const DISK_KEYS = ['name', 'size', 'bus', 'pool', 'image', 'device', 'clone', 'volume'] as const;

export function diskOf(text: string, index: number, flag = '--disk'): ostler.v1.Disk.$Properties {
  const keys = parseKeyValues(text, flag, DISK_KEYS);
  return said({
    name: keys.name ?? `data${index + 1}`,
    sizeBytes: optional(keys.size, (size) => parseSize(size, `${flag} size`)),
    image: keys.image,
    pool: keys.pool,
    bus: choose(keys.bus, `${flag} bus`, BUSES),
    device: choose(keys.device, `${flag} device`, DEVICES),
    clone: choose(keys.clone, `${flag} clone`, CLONES),
    volume: keys.volume,
  });
}

const NIC_KEYS = ['name', 'bridge', 'mac', 'model', 'mtu', 'vlan'] as const;

/** Without --nic: one on the host's default bridge. */
function nicsOf(flags: VmFlags): ostler.v1.Nic.$Properties[] {
  if (flags.nic === undefined) return [{ name: 'nic0' }];
  return flags.nic.map((text, index) => nicOf(text, index));
}

export function nicOf(text: string, index: number, flag = '--nic'): ostler.v1.Nic.$Properties {
  const keys = parseKeyValues(text, flag, NIC_KEYS);
  return said({
    name: keys.name ?? `nic${index}`,
    bridge: keys.bridge,
    mac: keys.mac?.toLowerCase(),
    model: choose(keys.model, `${flag} model`, NIC_MODELS),
    mtu: optional(keys.mtu, (mtu) => parseCount(mtu, `${flag} mtu`)),
    vlan: optional(keys.vlan, (vlan) => parseCount(vlan, `${flag} vlan`)),
  });
}

/** An image gets a seed unless --no-cloud-init; an installer gets one only when something is to be in it. */
function cloudInitOf(flags: VmFlags): ostler.v1.CloudInit.$Properties {
  const asked = [flags.user, flags.sshKey, flags.userData, flags.networkConfig, flags.script].some(
    (value) => value !== undefined,
  );
  if (!flags.cloudInit && asked)
    throw usageError('--no-cloud-init excludes accounts, keys, user data and scripts.', 'Leave one of them out.');
  return said({
    enabled: flags.cloudInit && (flags.image !== undefined || asked),
    user: flags.user,
    sshKeys: flags.sshKey?.flatMap((path) => keysOf(path)),
    userData: optional(flags.userData, (path) => readText(path, '--user-data')),
    networkConfig: optional(flags.networkConfig, (path) => readText(path, '--network-config')),
    scripts: flags.script?.map((text, index) => scriptOf(text, index)),
  });
}

/** Lines of an authorized_keys or .pub file. A private key is refused before it leaves this machine. */
function keysOf(path: string): string[] {
  const text = readText(path, '--ssh-key');
  if (text.includes('PRIVATE KEY'))
    throw invalidField('--ssh-key', `${path} is a private key`, `Name the public one: ${path}.pub`);
  const lines = text.split('\n').map((line) => line.trim());
  const keys = lines.filter((line) => line !== '' && !line.startsWith('#'));
  if (keys.length === 0) throw invalidField('--ssh-key', `${path} holds no key`);
  return keys;
}

const SCRIPT_KEYS = ['file', 'stage', 'order', 'name'] as const;

/** Scripts without an order run in the order in which they are given: 10, 20, 30 … */
function scriptOf(text: string, index: number): ostler.v1.UserScript.$Properties {
  const keys = parseKeyValues(text, '--script', SCRIPT_KEYS, 'file');
  const file = required(keys.file, '--script', '--script setup.sh,stage=boot,order=10');
  return {
    name: keys.name ?? basename(file),
    order: parseCount(keys.order ?? String((index + 1) * 10), '--script order'),
    stage: choose(keys.stage ?? 'boot', '--script stage', STAGES) ?? v1.ScriptStage.BOOT,
    content: readText(file, '--script'),
  };
}
