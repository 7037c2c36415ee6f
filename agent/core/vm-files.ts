import { idSchema } from '../../proto/model/names.js';
import { deviceNameSchema } from '../../proto/model/vm.js';
import type { ImageFormat } from '../../proto/model/image.js';

/**
 * Names of our files in a pool: one directory level, so that every directory pool can hold them and libvirt lists them.
 * Ids have no hyphen behind their first, so `ostler-<id>-` is never the start of another VM's file.
 */
export function diskFileName(vmId: string, diskName: string): string {
  return `ostler-${vmId}-${diskName}.qcow2`;
}

/** Of a volume whose disk was removed from its VM: nobody's, until it is given to a disk again. */
export function releasedFileName(vmId: string, diskName: string, number: number): string {
  return `ostler-volume-${vmId}-${diskName}${number === 1 ? '' : `-${number}`}.qcow2`;
}

const RELEASED = /^ostler-volume-(i-[0-9a-z]+)-([a-z][a-z0-9-]*)\.qcow2$/;

/** Which disk a kept volume was, by its name; undefined: it is no volume that we kept. */
export function parseReleasedName(name: string): { readonly vmId: string; readonly diskName: string } | undefined {
  const [, vmId, disk] = RELEASED.exec(name) ?? [];
  if (vmId === undefined || disk === undefined || !idSchema.safeParse(vmId).success) return undefined;
  // A second volume of the same disk has a number behind the name; a disk called `data-2` is told so, too, as `data`.
  return { vmId, diskName: disk.replace(/-[1-9][0-9]*$/, '') };
}

export function seedFileName(vmId: string): string {
  return `ostler-${vmId}-seed.iso`;
}

/** What a disk is written to above a snapshot; `number` is never used twice for a VM. */
export function overlayFileName(vmId: string, diskName: string, number: number): string {
  return `ostler-${vmId}-${diskName}.${number}.qcow2`;
}

export function memoryFileName(vmId: string, number: number): string {
  return `ostler-${vmId}-memory.${number}.save`;
}

/** What is written down of the VM's disks and snapshots: beside the boot disk, so that it goes where the disks go. */
export function chainFileName(vmId: string): string {
  return `ostler-${vmId}-snapshots.json`;
}

export function imageFileName(imageId: string, format: ImageFormat): string {
  return `ostler-image-${imageId}.${format}`;
}

export type PoolFile =
  | { readonly kind: 'disk'; readonly vmId: string; readonly diskName: string }
  | { readonly kind: 'overlay'; readonly vmId: string; readonly diskName: string; readonly number: number }
  | { readonly kind: 'memory'; readonly vmId: string; readonly number: number }
  | { readonly kind: 'chain'; readonly vmId: string }
  | { readonly kind: 'seed'; readonly vmId: string }
  | { readonly kind: 'image'; readonly imageId: string; readonly format: ImageFormat };

const IMAGE = /^ostler-image-(img-[0-9a-z]+)\.(qcow2|raw|iso)$/;
const SEED = /^ostler-(i-[0-9a-z]+)-seed\.iso$/;
const MEMORY = /^ostler-(i-[0-9a-z]+)-memory\.([1-9][0-9]{0,8})\.save$/;
const CHAIN = /^ostler-(i-[0-9a-z]+)-snapshots\.json$/;
const OVERLAY = /^ostler-(i-[0-9a-z]+)-([a-z][a-z0-9-]*)\.([1-9][0-9]{0,8})\.qcow2$/;
const DISK = /^ostler-(i-[0-9a-z]+)-([a-z][a-z0-9-]*)\.qcow2$/;

/** What a file name in a pool means to us; undefined: not ours, hands off. */
export function parseFileName(name: string): PoolFile | undefined {
  const [, imageId, format] = IMAGE.exec(name) ?? [];
  if (imageId !== undefined && idSchema.safeParse(imageId).success) {
    return { kind: 'image', imageId, format: format as ImageFormat };
  }
  const [, seedOf] = SEED.exec(name) ?? [];
  if (seedOf !== undefined && idSchema.safeParse(seedOf).success) return { kind: 'seed', vmId: seedOf };
  const [, chainOf] = CHAIN.exec(name) ?? [];
  if (chainOf !== undefined && idSchema.safeParse(chainOf).success) return { kind: 'chain', vmId: chainOf };
  const [, memoryOf, memoryNumber] = MEMORY.exec(name) ?? [];
  if (memoryOf !== undefined && idSchema.safeParse(memoryOf).success) {
    return { kind: 'memory', vmId: memoryOf, number: Number(memoryNumber) };
  }
  const [, overlayOf, overlayDisk = '', number] = OVERLAY.exec(name) ?? [];
  if (overlayOf !== undefined && idSchema.safeParse(overlayOf).success) {
    const known = deviceNameSchema.safeParse(overlayDisk).success;
    return known ? { kind: 'overlay', vmId: overlayOf, diskName: overlayDisk, number: Number(number) } : undefined;
  }
  const [, vmId, diskName] = DISK.exec(name) ?? [];
  if (vmId === undefined || diskName === undefined) return undefined;
  const valid = idSchema.safeParse(vmId).success && deviceNameSchema.safeParse(diskName).success;
  return valid ? { kind: 'disk', vmId, diskName } : undefined;
}

/** The names in a pool's listing that belong to this VM and to nobody else: what expunging it removes. */
export function vmFilesOf(vmId: string, listing: readonly string[]): string[] {
  return listing.filter((name) => {
    const file = parseFileName(name);
    return file !== undefined && file.kind !== 'image' && file.vmId === vmId;
  });
}

/** Files of VMs that are not in `known`, by VM id: left behind by a crash, or waiting for a VM that another host has. */
export function orphanFiles(
  known: ReadonlySet<string>,
  listing: readonly string[],
): ReadonlyMap<string, readonly string[]> {
  const orphans = new Map<string, string[]>();
  for (const name of listing) {
    const file = parseFileName(name);
    if (file === undefined || file.kind === 'image' || known.has(file.vmId)) continue;
    orphans.set(file.vmId, [...(orphans.get(file.vmId) ?? []), name]);
  }
  return orphans;
}
