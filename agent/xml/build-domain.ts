import type { Element } from '@xmldom/xmldom';
import { diskTargets } from '../core/disk-target.js';
import type { DiskTarget } from '../core/disk-target.js';
import type { Disk, Nic, VmRecord } from '../../proto/model/vm.js';
import { addCpu } from './build-cpu.js';
import type { VirtType } from './build-cpu.js';
import { addDevices } from './build-devices.js';
import { addDisk } from './build-disk.js';
import type { DiskCache, DiskSource } from './build-disk.js';
import { addNic } from './build-nic.js';
import { serializeNode, serializeXml, XML_LIMIT_CHARACTERS } from './document.js';
import { add, indent, newDocument } from './element.js';
import { addMetadata } from './metadata.js';
import { kibibytes } from './units.js';
import { XmlError } from './xml-error.js';

/** What the host adds to a record to make a domain of it. All paths are absolute paths on the host. */
export interface BuildOptions {
  readonly virtType: VirtType;
  /** Default: q35. */
  readonly machine?: string;
  /** Undefined: libvirt chooses. */
  readonly emulator?: string;
  /** By disk name; every disk needs one, a CD-ROM without one is an empty drive. */
  readonly disks: ReadonlyMap<string, DiskSource>;
  readonly seedPath?: string;
  readonly serialLogPath: string;
  /** Undefined: libvirt makes one in the domain's private directory, which its security drivers always allow. */
  readonly vncSocketPath?: string;
  /** UEFI only. Undefined: libvirt chooses. */
  readonly nvramPath?: string;
  /** For NICs that name no bridge. */
  readonly defaultBridge: string;
  /** Default: none. */
  readonly diskCache?: DiskCache;
  /** Cache of translated code of an emulated VM, in MiB; default 64. QEMU's own default is up to 1 GiB. */
  readonly tcgCacheMib?: number;
}

const WINDOWS_HYPERV: readonly (readonly [string, Readonly<Record<string, number>>])[] = [
  ['relaxed', {}],
  ['vapic', {}],
  ['spinlocks', { retries: 8191 }],
  ['vpindex', {}],
  ['runtime', {}],
  ['synic', {}],
  ['stimer', {}],
  ['frequencies', {}],
];

/**
 * The complete XML of a VM's domain. Throws XmlError (unusable, with the field) when this host cannot have that VM, or
 * (too-large) when its cloud-init data would not fit through libvirt.
 */
export function buildDomainXml(record: VmRecord, options: BuildOptions): string {
  const xml = newDocument('domain', { type: options.virtType });
  const domain = xml.root;
  addIdentity(domain, record);
  addMemory(domain, record);
  addBoot(domain, record, options);
  addFeatures(domain, record, options);
  addCpu(domain, record, options.virtType);
  addClock(domain, record, options.virtType);
  add(domain, 'on_poweroff', {}, 'destroy');
  add(domain, 'on_reboot', {}, 'restart');
  add(domain, 'on_crash', {}, 'destroy');
  addPowerManagement(domain);
  addDevices(domain, record, options);
  indent(domain);
  const text = serializeXml(xml);
  if (text.length > XML_LIMIT_CHARACTERS * 0.75) {
    // The wire carries UTF-8 bytes and libvirt adds what it finds out: a quarter is kept free.
    throw new XmlError(
      'too-large',
      'The user data and scripts are too long to be kept with the VM.',
      'spec.cloud_init',
    );
  }
  return text;
}

function addIdentity(domain: Element, record: VmRecord): void {
  add(domain, 'name', {}, record.id);
  add(domain, 'uuid', {}, record.uuid);
  add(domain, 'title', {}, record.displayName);
  if (record.description !== '') add(domain, 'description', {}, record.description);
  addMetadata(add(domain, 'metadata'), record);
}

function addMemory(domain: Element, record: VmRecord): void {
  const { memory, cpu } = record.spec;
  if (memory.maxSizeBytes > memory.sizeBytes) {
    add(domain, 'maxMemory', { slots: 16, unit: 'KiB' }, kibibytes(memory.maxSizeBytes));
  }
  add(domain, 'memory', { unit: 'KiB' }, kibibytes(memory.sizeBytes));
  add(domain, 'currentMemory', { unit: 'KiB' }, kibibytes(memory.sizeBytes));
  add(domain, 'vcpu', { placement: 'static', current: cpu.vcpus }, cpu.maxVcpus);
}

function addBoot(domain: Element, record: VmRecord, options: BuildOptions): void {
  const sysinfo = add(domain, 'sysinfo', { type: 'smbios' });
  const system = add(sysinfo, 'system');
  add(system, 'entry', { name: 'manufacturer' }, 'Ostler');
  add(system, 'entry', { name: 'product' }, 'Ostler virtual machine');
  add(system, 'entry', { name: 'serial' }, record.id);
  const uefi = record.spec.firmware === 'uefi';
  const os = add(domain, 'os', { firmware: uefi ? 'efi' : undefined });
  add(os, 'type', { arch: 'x86_64', machine: options.machine ?? 'q35' }, 'hvm');
  if (uefi) {
    add(add(os, 'firmware'), 'feature', { enabled: 'no', name: 'secure-boot' });
    if (options.nvramPath !== undefined) add(os, 'nvram', {}, options.nvramPath);
  }
  add(os, 'smbios', { mode: 'sysinfo' });
}

function addFeatures(domain: Element, record: VmRecord, options: BuildOptions): void {
  const features = add(domain, 'features');
  add(features, 'acpi');
  add(features, 'apic');
  if (record.spec.osType === 'windows' && options.virtType === 'kvm') {
    const hyperv = add(features, 'hyperv', { mode: 'custom' });
    for (const [name, extra] of WINDOWS_HYPERV) add(hyperv, name, { state: 'on', ...extra });
  }
  if (options.virtType === 'qemu') {
    add(add(features, 'tcg'), 'tb-cache', { unit: 'MiB' }, options.tcgCacheMib ?? 64);
  }
}

/** Windows keeps local time in the hardware clock, everybody else UTC. */
function addClock(domain: Element, record: VmRecord, virtType: VirtType): void {
  const windows = record.spec.osType === 'windows';
  const clock = add(domain, 'clock', { offset: windows ? 'localtime' : 'utc' });
  add(clock, 'timer', { name: 'rtc', tickpolicy: 'catchup' });
  add(clock, 'timer', { name: 'pit', tickpolicy: 'delay' });
  add(clock, 'timer', { name: 'hpet', present: 'no' });
  if (windows && virtType === 'kvm') add(clock, 'timer', { name: 'hypervclock', present: 'yes' });
}

/** A guest that sleeps looks dead to everybody else. */
function addPowerManagement(domain: Element): void {
  const pm = add(domain, 'pm');
  add(pm, 'suspend-to-mem', { enabled: 'no' });
  add(pm, 'suspend-to-disk', { enabled: 'no' });
}

/** One disk alone, for attaching to a running VM. Without `target` it takes the place it has in the record. */
export function buildDiskXml(
  record: VmRecord,
  disk: Disk,
  options: { readonly source: DiskSource | undefined; readonly diskCache?: DiskCache; readonly target?: DiskTarget },
): string {
  const target = options.target ?? diskTargets(record.spec.disks).get(disk.name);
  if (target === undefined) throw new XmlError('unusable', `The VM has no disk ${disk.name}.`, 'spec.disks');
  const { root } = newDocument('devices');
  const place = { target, bootOrder: undefined, cache: options.diskCache ?? 'none' };
  const element = addDisk(root, disk, options.source, place);
  indent(element);
  return serializeNode(element);
}

/** One NIC alone, for attaching to a running VM. */
export function buildNicXml(nic: Nic, options: { readonly defaultBridge: string }): string {
  const { root } = newDocument('devices');
  const element = addNic(root, nic, { defaultBridge: options.defaultBridge, bootOrder: undefined });
  indent(element);
  return serializeNode(element);
}
