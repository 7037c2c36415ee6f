import type { Element } from '@xmldom/xmldom';
import { diskSerial, SEED_TARGET } from '../core/disk-target.js';
import type { DiskTarget } from '../core/disk-target.js';
import type { Disk } from '../../proto/model/vm.js';
import { add } from './element.js';
import { XmlError } from './xml-error.js';

/** A disk's file on this host. */
export interface DiskSource {
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
}

/**
 * How QEMU opens disk files. `none` (O_DIRECT) is what live migration and honest flushes want; file systems without O_DIRECT
 * (tmpfs, many FUSE ones) need `writeback`.
 */
export type DiskCache = 'none' | 'writeback' | 'writethrough' | 'directsync';

export function requireAbsolute(path: string, what: string): void {
  if (!path.startsWith('/')) throw new XmlError('unusable', `The path of ${what} is not absolute: ${path}`);
}

function addPlace(element: Element, target: DiskTarget, bootOrder: number | undefined): void {
  add(element, 'target', { dev: target.dev, bus: target.bus });
  if (bootOrder !== undefined) add(element, 'boot', { order: bootOrder });
}

function addAddress(element: Element, target: DiskTarget): void {
  if (target.address === undefined) return;
  const { controller, target: number, unit } = target.address;
  add(element, 'address', { type: 'drive', controller, bus: 0, target: number, unit });
}

/** One disk or CD-ROM. A CD-ROM without a source is an empty drive. */
export function addDisk(
  devices: Element,
  disk: Disk,
  source: DiskSource | undefined,
  place: { readonly target: DiskTarget; readonly bootOrder: number | undefined; readonly cache: DiskCache },
): Element {
  const cdrom = disk.device === 'cdrom';
  if (source === undefined && !cdrom) {
    throw new XmlError('unusable', `The disk ${disk.name} has no file on this host.`, 'spec.disks');
  }
  const element = add(devices, 'disk', { type: 'file', device: disk.device });
  if (cdrom) add(element, 'driver', { name: 'qemu', type: 'raw' });
  else add(element, 'driver', { name: 'qemu', type: source?.format, cache: place.cache, discard: 'unmap' });
  if (source !== undefined) {
    requireAbsolute(source.path, `the disk ${disk.name}`);
    add(element, 'source', { file: source.path });
  }
  addPlace(element, place.target, place.bootOrder);
  if (cdrom) add(element, 'readonly');
  add(element, 'serial', {}, diskSerial(disk.name));
  addLimits(element, disk);
  addAddress(element, place.target);
  return element;
}

function addLimits(element: Element, { limits }: Disk): void {
  if (limits === undefined) return;
  const tune = add(element, 'iotune');
  const say = (name: string, value: number): void => {
    if (value !== 0) add(tune, name, {}, value);
  };
  say('read_bytes_sec', limits.readBytesPerSecond);
  say('write_bytes_sec', limits.writeBytesPerSecond);
  say('read_iops_sec', limits.readIops);
  say('write_iops_sec', limits.writeIops);
}

/** The NoCloud seed: a CD-ROM on SCSI, as cloud kernels have no AHCI driver. It never boots. */
export function addSeed(devices: Element, path: string): Element {
  requireAbsolute(path, 'the seed');
  const element = add(devices, 'disk', { type: 'file', device: 'cdrom' });
  add(element, 'driver', { name: 'qemu', type: 'raw' });
  add(element, 'source', { file: path });
  addPlace(element, SEED_TARGET, undefined);
  add(element, 'readonly');
  add(element, 'serial', {}, 'cidata');
  addAddress(element, SEED_TARGET);
  return element;
}
