import { childrenOf, heldFiles, type ChainFile, type ChainState } from './model.js';

/**
 * What is left to do until every file is needed: a file that nobody holds and nobody stands on goes; one that nobody holds
 * and exactly one file stands on is merged with that one; one that several stand on stays, hidden.
 */
export type Chore =
  | { readonly kind: 'drop'; readonly file: string; readonly next: ChainState }
  | {
      readonly kind: 'merge';
      readonly disk: string;
      readonly base: string;
      readonly top: string;
      /** After `top` was written into `base`. */
      readonly committed: ChainState;
      /** After `base` was copied into `top`. */
      readonly pulled: ChainState;
    };

/** The next one, always the same for the same state; undefined: nothing is left. `only`: of these disks. */
export function nextChore(state: ChainState, only?: ReadonlySet<string>): Chore | undefined {
  const held = heldFiles(state);
  const idle = Object.entries(state.files)
    .filter(([name, { disk }]) => !held.has(name) && (only === undefined || only.has(disk)))
    .map(([name]) => name)
    .sort();
  for (const file of idle)
    if (childrenOf(state, file).length === 0) return { kind: 'drop', file, next: withoutFiles(state, [file]) };
  for (const base of idle) {
    const [top, ...others] = childrenOf(state, base);
    if (top === undefined || others.length > 0) continue;
    const disk = state.files[base]?.disk ?? '';
    return { kind: 'merge', disk, base, top, committed: committed(state, base, top), pulled: pulled(state, base, top) };
  }
  return undefined;
}

function withoutFiles(state: ChainState, names: readonly string[]): ChainState {
  const files = Object.fromEntries(Object.entries(state.files).filter(([name]) => !names.includes(name)));
  // Only a snapshot that is being deleted can name one of them.
  const snapshots = state.snapshots.map((one) => ({
    ...one,
    disks: Object.fromEntries(Object.entries(one.disks).filter(([, { file }]) => !names.includes(file))),
  }));
  return { ...state, files, snapshots };
}

/** Whatever was `top` is `base` now. */
function committed(state: ChainState, base: string, top: string): ChainState {
  const rename = (name: string): string => (name === top ? base : name);
  const files: Record<string, ChainFile> = {};
  for (const [name, file] of Object.entries(state.files))
    if (name !== top) files[name] = name === base ? file : { ...file, backing: rename(file.backing) };
  const current = Object.fromEntries(Object.entries(state.current).map(([disk, name]) => [disk, rename(name)]));
  const snapshots = state.snapshots.map((one) => ({
    ...one,
    disks: Object.fromEntries(
      Object.entries(one.disks)
        // What a snapshot that is being deleted had frozen is nobody's any more.
        .filter(([, { file }]) => one.state === 'ready' || file !== base)
        .map(([disk, frozen]) => [disk, { ...frozen, file: rename(frozen.file) }]),
    ),
  }));
  return { ...state, files, current, snapshots };
}

function pulled(state: ChainState, base: string, top: string): ChainState {
  const file = state.files[top];
  const below = state.files[base];
  if (file === undefined || below === undefined) return state;
  return afterPull(withoutFiles(state, [base]), top, below.backing);
}

/** `top` stands on `backing` now and holds what lay between. */
export function afterPull(state: ChainState, top: string, backing: string): ChainState {
  const file = state.files[top];
  return file === undefined ? state : { ...state, files: { ...state.files, [top]: { ...file, backing } } };
}
