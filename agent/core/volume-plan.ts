import type { PoolFacts } from '../../proto/model/host.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { Disk, VmRecord } from '../../proto/model/vm.js';
import { refuse, type Refusal } from './refusal.js';
import { diskFileName, imageFileName, parseFileName } from './vm-files.js';

/** Pools whose volumes are files in a directory of the host. */
const DIRECTORY_POOLS: readonly string[] = ['dir', 'fs', 'netfs'];
/** What a fresh qcow2 file takes before anything is written to it. */
const EMPTY_QCOW2_BYTES = 1024 * 1024;

export interface PlanFacts {
  readonly pools: readonly PoolFacts[];
  /** Name of the pool for disks that name none; empty: the host has none. */
  readonly defaultPool: string;
  /** By id: every image that the record names and that exists. */
  readonly images: ReadonlyMap<string, ImageRef>;
  /** File names that lie in each pool, by pool name: an image that is there is not fetched again. */
  readonly listings: ReadonlyMap<string, readonly string[]>;
}

/** An image file that must lie in a pool before the disks are made. */
export interface ImageStep {
  readonly imageId: string;
  readonly pool: string;
  readonly path: string;
  readonly format: ImageRef['format'];
  readonly present: boolean;
}

/**
 * overlay: qcow2 on top of the image in the same pool · full: a copy of the image, then grown · blank: empty qcow2 ·
 * iso: the image itself, read-only; nothing is made, and nothing goes when the VM goes · existing: a volume that was there
 * before the disk, and stays when it goes.
 */
export interface VolumeStep {
  readonly diskName: string;
  readonly kind: 'overlay' | 'full' | 'blank' | 'iso' | 'existing';
  readonly pool: string;
  readonly path: string;
  readonly format: 'qcow2' | 'raw';
  /** Image behind an overlay, source of a full copy. */
  readonly backing: { readonly path: string; readonly format: 'qcow2' | 'raw' } | undefined;
  /** Size the guest sees. */
  readonly sizeBytes: number;
}

export type VolumePlan =
  | { readonly ok: true; readonly images: readonly ImageStep[]; readonly volumes: readonly VolumeStep[] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

type DiskPlan =
  { readonly refusal: Refusal } | { readonly pool: PoolFacts; readonly image?: ImageRef; readonly volume?: VolumeStep };

/** What to make for a VM's disks on this host, in the order of the record; or every reason why not. */
export function planVolumes(record: VmRecord, facts: PlanFacts): VolumePlan {
  const images = new Map<string, ImageStep>();
  const volumes: VolumeStep[] = [];
  const refusals: Refusal[] = [];
  const needed = new Map<string, number>();
  record.spec.disks.forEach((disk, index) => {
    const plan = planDisk(record.id, disk, index, facts);
    if ('refusal' in plan) {
      refusals.push(plan.refusal);
      return;
    }
    if (plan.volume !== undefined) volumes.push(plan.volume);
    let bytes = plan.volume === undefined ? 0 : bytesToWrite(plan.volume, plan.image);
    if (plan.image !== undefined) {
      const step = imageStep(plan.image, plan.pool, facts);
      if (!step.present && !images.has(step.path)) bytes += plan.image.fileBytes;
      images.set(step.path, step);
    }
    needed.set(plan.pool.name, (needed.get(plan.pool.name) ?? 0) + bytes);
  });
  refusals.push(...roomRefusals(needed, facts));
  return refusals.length > 0 ? { ok: false, refusals } : { ok: true, images: [...images.values()], volumes };
}

/** Disks are thin: only what is written at once must fit. A full copy writes at least as much as the image file holds. */
function bytesToWrite(volume: VolumeStep, image: ImageRef | undefined): number {
  switch (volume.kind) {
    case 'iso':
    case 'existing':
      return 0;
    case 'full':
      return image?.fileBytes ?? 0;
    case 'overlay':
    case 'blank':
      return EMPTY_QCOW2_BYTES;
  }
}

function roomRefusals(needed: ReadonlyMap<string, number>, facts: PlanFacts): Refusal[] {
  return [...needed].flatMap(([name, bytes]) => {
    const pool = facts.pools.find((one) => one.name === name);
    if (pool === undefined || bytes <= pool.availableBytes) return [];
    return [
      refuse(
        'STORAGE_FULL',
        'spec.disks',
        `The pool ${name} has ${pool.availableBytes} bytes free; the disks need at least ${bytes} at once.`,
        'Free some room in the pool, or name another pool.',
      ),
    ];
  });
}

/** The image's file in the same pool as the disk, so that whoever sees the disk sees what it stands on. */
function imageStep(image: ImageRef, pool: PoolFacts, facts: PlanFacts): ImageStep {
  const name = imageFileName(image.id, image.format);
  return {
    imageId: image.id,
    pool: pool.name,
    path: join(pool.path, name),
    format: image.format,
    present: facts.listings.get(pool.name)?.includes(name) ?? false,
  };
}

function join(directory: string, name: string): string {
  return directory.endsWith('/') ? directory + name : `${directory}/${name}`;
}

function planDisk(vmId: string, disk: Disk, index: number, facts: PlanFacts): DiskPlan {
  const at = `spec.disks[${index}]`;
  const pool = choosePool(disk, at, facts);
  if ('refusal' in pool) return pool;
  if (disk.volume !== undefined) return planExisting(vmId, disk, disk.volume, { at, pool });
  if (disk.image === '') return { pool, ...(disk.device === 'disk' ? { volume: blank(vmId, disk, pool) } : {}) };
  const image = facts.images.get(disk.image);
  if (image === undefined) {
    const message = `There is no image ${disk.image}.`;
    return { refusal: refuse('NOT_FOUND', `${at}.image`, message, 'List the images and name one of them.') };
  }
  return planFromImage(vmId, { disk, at, pool, image });
}

function choosePool(disk: Disk, at: string, facts: PlanFacts): PoolFacts | { readonly refusal: Refusal } {
  const name = disk.pool === '' ? facts.defaultPool : disk.pool;
  const field = `${at}.pool`;
  const pool = facts.pools.find((one) => one.name === name);
  if (pool === undefined) {
    const message = name === '' ? 'The host has no default pool.' : `The host has no pool ${name}.`;
    const names = facts.pools.map((one) => one.name).join(', ');
    return { refusal: refuse('NOT_FOUND', field, message, names === '' ? '' : `The host has: ${names}.`) };
  }
  if (!DIRECTORY_POOLS.includes(pool.type) || !pool.path.startsWith('/')) {
    const message = `The pool ${name} is of type ${pool.type}; disks are kept in directory pools only.`;
    return { refusal: refuse('UNSUPPORTED', field, message, 'Name a pool of type dir, fs or netfs.') };
  }
  if (!pool.active) {
    const message = `The pool ${name} is not active.`;
    return {
      refusal: refuse('WRONG_STATE', field, message, 'Start it on the host (virsh pool-start), or name another.'),
    };
  }
  return pool;
}

function blank(vmId: string, disk: Disk, pool: PoolFacts): VolumeStep {
  const path = join(pool.path, diskFileName(vmId, disk.name));
  return { ...named(disk, pool), kind: 'blank', path, format: 'qcow2', backing: undefined, sizeBytes: disk.sizeBytes };
}

/** A file that Ostler made for a VM or an image is never another VM's disk. */
function planExisting(vmId: string, disk: Disk, volume: string, where: { at: string; pool: PoolFacts }): DiskPlan {
  const { at, pool } = where;
  if (parseFileName(volume) !== undefined) {
    const message = `${volume} is the file of ${volume.includes(vmId) ? 'this' : 'another'} VM, or of an image.`;
    return { refusal: refuse('IN_USE', `${at}.volume`, message, 'Name a volume that no VM has.') };
  }
  const format = volume.endsWith('.qcow2') ? 'qcow2' : 'raw';
  const step = { ...named(disk, pool), kind: 'existing', format, path: join(pool.path, volume) } as const;
  return { pool, volume: { ...step, backing: undefined, sizeBytes: disk.sizeBytes } };
}

function named(disk: Disk, pool: PoolFacts): { readonly diskName: string; readonly pool: string } {
  return { diskName: disk.name, pool: pool.name };
}

function planFromImage(
  vmId: string,
  { disk, at, pool, image }: { disk: Disk; at: string; pool: PoolFacts; image: ImageRef },
): DiskPlan {
  const imagePath = join(pool.path, imageFileName(image.id, image.format));
  if (disk.device === 'cdrom' || image.format === 'iso') {
    if (disk.device !== 'cdrom' || image.format !== 'iso') return { refusal: wrongKind(disk, at, image) };
    const volume: VolumeStep = {
      ...named(disk, pool),
      kind: 'iso',
      path: imagePath,
      format: 'raw',
      backing: undefined,
      sizeBytes: image.virtualSizeBytes,
    };
    return { pool, image, volume };
  }
  if (disk.sizeBytes !== 0 && disk.sizeBytes < image.virtualSizeBytes) {
    const message = `The disk has ${disk.sizeBytes} bytes, its image ${image.id} needs ${image.virtualSizeBytes}.`;
    const remedy = `Ask for at least ${image.virtualSizeBytes} bytes, or for none to get the image's size.`;
    return { refusal: refuse('INVALID_FIELD', `${at}.size_bytes`, message, remedy) };
  }
  const volume: VolumeStep = {
    ...named(disk, pool),
    kind: disk.clone,
    path: join(pool.path, diskFileName(vmId, disk.name)),
    format: 'qcow2',
    backing: { path: imagePath, format: image.format },
    sizeBytes: disk.sizeBytes === 0 ? image.virtualSizeBytes : disk.sizeBytes,
  };
  return { pool, image, volume };
}

function wrongKind(disk: Disk, at: string, image: ImageRef): Refusal {
  return disk.device === 'cdrom'
    ? refuse(
        'INVALID_FIELD',
        `${at}.image`,
        `A CD-ROM takes an ISO image; ${image.id} is ${image.format}.`,
        'Name an ISO image, or make it a disk.',
      )
    : refuse(
        'INVALID_FIELD',
        `${at}.image`,
        `A disk cannot stand on an ISO image; ${image.id} is one.`,
        'Make the device a cdrom, or name a disk image.',
      );
}
