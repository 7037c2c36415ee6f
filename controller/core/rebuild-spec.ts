/** What a VM's disks are after a rebuild of its root disk (M-035 … M-037). Pure. */
import type { ImageDoc } from './model.js';
import { rootDisk, type Disk, type VmSpec } from '../../proto/model/vm.js';

export type RebuildSpec =
  | { readonly ok: true; readonly spec: VmSpec }
  /** To be read after `image: `. */
  | { readonly ok: false; readonly why: string; readonly remedy: string };

/**
 * A VM made from a disk image keeps to disk images: its root disk is made from `image`, or from its present one. A VM
 * that was installed from an ISO keeps to ISOs: its root disk becomes blank, and the CD-ROM holds `image`. A disk that is
 * smaller than its new image grows to it.
 */
export function rebuildSpec(
  spec: VmSpec,
  image: ImageDoc | undefined,
  imageOf: (id: string) => ImageDoc | undefined,
): RebuildSpec {
  const root = rootDisk(spec);
  if (root === undefined) return refused('the VM has no root disk, only CD-ROMs', 'Give it another CD-ROM instead.');
  const cdrom = spec.disks.find((disk) => disk.device === 'cdrom' && disk.image !== '');
  const fromIso = root.image === '';
  if (image === undefined) {
    const base = imageOf(fromIso ? (cdrom?.image ?? '') : root.image);
    if (base !== undefined) return withDisk(spec, root);
    return fromIso && cdrom === undefined
      ? refused('the VM was made from neither an image nor an ISO', 'Name an ISO that its CD-ROM drive has held.')
      : refused('the image that the VM was made from is gone', 'Name another one.');
  }
  if (fromIso !== (image.format === 'iso')) {
    const [has, other] = fromIso ? ['an ISO', 'a disk image'] : ['a disk image', 'an ISO'];
    return refused(
      `the VM was made from ${has}; ${image.name} is ${other}`, // M-035
      `Name ${has}, or make a new VM.`,
    );
  }
  if (!fromIso) {
    const sizeBytes = Math.max(root.sizeBytes, image.virtualSizeBytes);
    return withDisk(spec, { ...root, image: image.id, sizeBytes });
  }
  const drive = cdrom ?? spec.disks.find((disk) => disk.device === 'cdrom');
  if (drive === undefined) return refused('the VM has no CD-ROM drive', 'Make a new VM with one.');
  return withDisk(spec, { ...drive, image: image.id });
}

function withDisk(spec: VmSpec, changed: Disk): RebuildSpec {
  return {
    ok: true,
    spec: { ...spec, disks: spec.disks.map((disk) => (disk.name === changed.name ? changed : disk)) },
  };
}

function refused(why: string, remedy: string): RebuildSpec {
  return { ok: false, why, remedy };
}
