import type { Disk, VmSpec } from '../../proto/model/vm.js';
import { stableHash } from './stable-hash.js';

/** Where the guest sees a disk. `address` is undefined on virtio, whose PCI address libvirt chooses. */
export interface DiskTarget {
  readonly dev: string;
  readonly bus: Disk['bus'];
  readonly address: { readonly controller: number; readonly target: number; readonly unit: number } | undefined;
}

/** virtio-scsi takes targets 0–255, libvirt's schema those of two digits. The seed sits at the far end, so that it never moves when disks come and go. */
export const SEED_TARGET: DiskTarget = {
  dev: 'sdzz',
  bus: 'scsi',
  address: { controller: 0, target: 99, unit: 0 },
};

/** An ICH9 AHCI controller has six ports. */
export const SATA_PORTS = 6;

/** 0 → a, 25 → z, 26 → aa: the letters of vda, sdaa … */
export function driveLetters(index: number): string {
  const last = String.fromCharCode(97 + (index % 26));
  return index < 26 ? last : driveLetters(Math.floor(index / 26) - 1) + last;
}

function targetAt(bus: Disk['bus'], letterIndex: number, busIndex: number): DiskTarget {
  const dev = (bus === 'virtio' ? 'vd' : 'sd') + driveLetters(letterIndex);
  switch (bus) {
    case 'virtio':
      return { dev, bus, address: undefined };
    case 'scsi':
      return { dev, bus, address: { controller: 0, target: busIndex, unit: 0 } };
    case 'sata':
      return {
        dev,
        bus,
        address: { controller: Math.floor(busIndex / SATA_PORTS), target: 0, unit: busIndex % SATA_PORTS },
      };
  }
}

/** Targets of all disks in the order of the spec, by disk name. SCSI and SATA share the letters of `sd`. */
export function diskTargets(disks: VmSpec['disks']): ReadonlyMap<string, DiskTarget> {
  const letters = { vd: 0, sd: 0 };
  const onBus = { virtio: 0, scsi: 0, sata: 0 };
  const targets = new Map<string, DiskTarget>();
  for (const disk of disks) {
    const letter = disk.bus === 'virtio' ? letters.vd++ : letters.sd++;
    targets.set(disk.name, targetAt(disk.bus, letter, onBus[disk.bus]++));
  }
  return targets;
}

/** A free target for a disk that is added while the VM runs; `taken` are the `dev` names and SCSI targets in use. */
export function freeDiskTarget(
  bus: Disk['bus'],
  taken: readonly {
    readonly dev: string;
    readonly bus: string;
    readonly address?: DiskTarget['address'] | undefined;
  }[],
): DiskTarget {
  const devs = new Set(taken.map((one) => one.dev));
  const place = (target: DiskTarget): string =>
    `${target.address?.controller}/${target.address?.target}/${target.address?.unit}`;
  const places = new Set(taken.filter((one) => one.bus === bus).map((one) => place(one as DiskTarget)));
  let letter = 0;
  while (devs.has(targetAt(bus, letter, 0).dev)) letter++;
  let index = 0;
  while (bus !== 'virtio' && places.has(place(targetAt(bus, letter, index)))) index++;
  return targetAt(bus, letter, index);
}

/** virtio-blk cuts serial numbers at 20 bytes; a longer name keeps its start and ends in a hash of the whole. */
export function diskSerial(name: string): string {
  return name.length <= 20 ? name : `${name.slice(0, 11)}-${stableHash(name)}`;
}
