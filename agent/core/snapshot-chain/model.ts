/**
 * A VM's disks as a forest of qcow2 files, and the tree of its snapshots over them.
 *
 * A snapshot *freezes* the file that each of its disks had; the guest goes on in a new overlay on top of it. A file is
 * *held* when a snapshot names it or a disk stands on it now; other files are only there because held ones need them.
 * Invariants: a frozen file is written by nobody but a merge that no ready snapshot can see; the file that a disk stands on
 * has no file above it; file names are never used again.
 */
export interface ChainFile {
  readonly disk: string;
  /** Name of the file below it, or the absolute path of an image that is not ours alone; empty: it stands by itself. */
  readonly backing: string;
}

export interface SnapshotDisk {
  /** The frozen file: with what is below it, the content at the time of the snapshot. */
  readonly file: string;
  /** What the guest saw as its size, bytes. */
  readonly sizeBytes: number;
}

export interface SnapshotNode {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Id of the snapshot that it was made after; empty: a root. */
  readonly parent: string;
  /** Milliseconds since 1970 (UTC). */
  readonly time: number;
  /** `deleting`: its files are being merged away and may hold later data already; it cannot be gone back to. */
  readonly state: 'ready' | 'deleting';
  readonly disks: Readonly<Record<string, SnapshotDisk>>;
  /** File with the guest's memory; empty: disks only. */
  readonly memoryFile: string;
  /** The guest's file systems were frozen while it was made. */
  readonly quiesced: boolean;
  /** What its memory belongs to; absent: disks only. */
  readonly hardware?: Hardware;
}

/** What of a VM's size a saved memory is bound to. */
export interface Hardware {
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly memoryBytes: number;
  readonly maxMemoryBytes: number;
}

export interface ChainState {
  readonly files: Readonly<Record<string, ChainFile>>;
  /** The file that each disk stands on. */
  readonly current: Readonly<Record<string, string>>;
  readonly snapshots: readonly SnapshotNode[];
  /** The snapshot that the present grew from; empty: none. */
  readonly now: string;
  /** Number of the last file made. */
  readonly counter: number;
}

/** A change that was begun: what is written down before the first of its steps, so that whoever comes next can finish it. */
export type Pending =
  | { readonly kind: 'create'; readonly snapshot: string; readonly next: ChainState }
  /** `decided`: the overlays are complete, and the present is given up. */
  | { readonly kind: 'revert'; readonly snapshot: string; readonly decided: boolean; readonly next: ChainState }
  /** `top` is written into `base`, which takes its place. */
  | {
      readonly kind: 'commit';
      readonly disk: string;
      readonly base: string;
      readonly top: string;
      readonly next: ChainState;
    }
  /** What lies between `top` and `backing` is copied into `top`. */
  | {
      readonly kind: 'pull';
      readonly disk: string;
      readonly top: string;
      readonly backing: string;
      readonly next: ChainState;
    };

/** What lies beside the boot disk, as `ostler-<id>-snapshots.json`. */
export interface ChainDocument {
  readonly version: 1;
  readonly vmId: string;
  /** Grows with every write. */
  readonly revision: number;
  readonly state: ChainState;
  readonly pending: Pending | undefined;
  /** Names of files that nothing needs any more and that may still be there. */
  readonly trash: readonly string[];
}

export const EMPTY_CHAIN: ChainState = { files: {}, current: {}, snapshots: [], now: '', counter: 0 };

export function childrenOf(state: ChainState, file: string): readonly string[] {
  return Object.entries(state.files)
    .filter(([, { backing }]) => backing === file)
    .map(([name]) => name)
    .sort();
}

export function snapshotOf(state: ChainState, id: string): SnapshotNode | undefined {
  return state.snapshots.find((one) => one.id === id);
}

/** Files that a disk stands on now or that a snapshot that is ready names. */
export function heldFiles(state: ChainState): ReadonlySet<string> {
  const held = new Set(Object.values(state.current));
  for (const { state: condition, disks } of state.snapshots)
    if (condition === 'ready') for (const { file } of Object.values(disks)) held.add(file);
  return held;
}

/** From a file down to the last of ours; the file itself first. */
export function chainBelow(state: ChainState, file: string): readonly string[] {
  const chain: string[] = [];
  for (let name = file; ;) {
    const found = state.files[name];
    if (found === undefined || chain.includes(name)) return chain;
    chain.push(name);
    name = found.backing;
  }
}

/** Files that the second state has and the first has not. */
export function newFiles(before: ChainState, after: ChainState): readonly string[] {
  return Object.keys(after.files)
    .filter((name) => before.files[name] === undefined)
    .sort();
}

/** Files of both kinds, disks and memory, that the first state has and the second has not. */
export function goneFiles(before: ChainState, after: ChainState): readonly string[] {
  const memory = (state: ChainState): string[] =>
    state.snapshots.map((one) => one.memoryFile).filter((name) => name !== '');
  const kept = new Set([...Object.keys(after.files), ...memory(after)]);
  return [...Object.keys(before.files), ...memory(before)].filter((name) => !kept.has(name)).sort();
}
