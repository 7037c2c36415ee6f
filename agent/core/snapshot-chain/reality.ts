import { chainBelow, type ChainState } from './model.js';

/** What is there, looked at just now. Names of files in the disk's directory; other paths are absolute. */
export interface Reality {
  /** By disk: the file that the domain stands on; undefined: nobody can tell (no domain is defined). */
  readonly tops: Readonly<Record<string, string | undefined>>;
  /** By name: what each file stands on, empty for nothing; undefined: the file is not there. */
  readonly backings: Readonly<Record<string, string | undefined>>;
}

/**
 * How the disks differ from what was written down, as sentences. Somebody else has changed them (virsh, qemu-img, a restored
 * backup): nothing of ours may touch them until a person has looked.
 */
export function differences(state: ChainState, reality: Reality): readonly string[] {
  const found: string[] = [];
  for (const [disk, file] of Object.entries(state.current).sort()) {
    const top = reality.tops[disk];
    if (top !== undefined && top !== file) found.push(`Disk ${disk} stands on ${top}, not on ${file}.`);
  }
  for (const [name, { backing }] of Object.entries(state.files).sort()) {
    const real = reality.backings[name];
    if (real === undefined) found.push(`The file ${name} is not there.`);
    else if (real !== backing)
      found.push(`The file ${name} stands on ${real || 'nothing'}, not on ${backing || 'nothing'}.`);
  }
  return found;
}

/** Own files that a disk reads now: QEMU has them open while the VM runs. */
export function openFiles(state: ChainState): ReadonlySet<string> {
  return new Set(Object.values(state.current).flatMap((file) => chainBelow(state, file)));
}
