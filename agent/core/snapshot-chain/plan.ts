import type { Refusal } from '../refusal.js';
import { memoryFileName, overlayFileName } from '../vm-files.js';
import { snapshotOf, type ChainFile, type ChainState, type Hardware, type SnapshotNode } from './model.js';

/** What a snapshot is asked to be. */
export interface SnapshotWish {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly tags: Readonly<Record<string, string>>;
  /** Names of disks; empty: the boot disk, or all of them with memory. */
  readonly disks: readonly string[];
  readonly memory: boolean;
  readonly quiesce: boolean;
}

export interface CreateFacts {
  readonly vmId: string;
  /** Names of the disks that the VM has, the boot disk first. */
  readonly disks: readonly string[];
  /** Bytes, by disk. */
  readonly sizes: Readonly<Record<string, number>>;
  readonly running: boolean;
  readonly hardware: Hardware;
  readonly time: number;
  /** Snapshots that a VM may have. */
  readonly limit: number;
}

export type Plan = { readonly ok: true; readonly next: ChainState } | { readonly ok: false; readonly refusal: Refusal };

function refuse(code: Refusal['code'], field: string, message: string, remedy: string): Plan {
  return { ok: false, refusal: { code, field, message, remedy } };
}

/** The disks that a snapshot takes: those that were named, else the boot disk; memory goes with all of them. */
export function disksOf(wish: SnapshotWish, facts: Pick<CreateFacts, 'disks'>): readonly string[] {
  if (wish.disks.length > 0) return [...new Set(wish.disks)];
  return wish.memory ? facts.disks : facts.disks.slice(0, 1);
}

/** Every disk goes on in a new overlay; the file that it had is frozen. C-129, C-130, M-083, M-089, M-093 */
export function planCreate(state: ChainState, wish: SnapshotWish, facts: CreateFacts): Plan {
  const disks = disksOf(wish, facts);
  const refusal = refuseCreate(state, wish, disks, facts);
  if (refusal !== undefined) return refusal;
  let { counter } = state;
  const files: Record<string, ChainFile> = { ...state.files };
  const current: Record<string, string> = { ...state.current };
  const frozen: Record<string, SnapshotNode['disks'][string]> = {};
  for (const disk of disks) {
    const file = state.current[disk] ?? '';
    const overlay = overlayFileName(facts.vmId, disk, ++counter);
    files[overlay] = { disk, backing: file };
    current[disk] = overlay;
    frozen[disk] = { file, sizeBytes: facts.sizes[disk] ?? 0 };
  }
  const memoryFile = wish.memory ? memoryFileName(facts.vmId, ++counter) : '';
  const { id, name, description, tags, quiesce: quiesced } = wish;
  const node: SnapshotNode = {
    ...{ id, name, description, tags, quiesced, memoryFile },
    parent: state.now,
    time: facts.time,
    state: 'ready',
    disks: frozen,
    ...(wish.memory ? { hardware: facts.hardware } : {}),
  };
  return { ok: true, next: { files, current, counter, snapshots: [...state.snapshots, node], now: id } };
}

function refuseCreate(
  state: ChainState,
  wish: SnapshotWish,
  disks: readonly string[],
  facts: CreateFacts,
): Plan | undefined {
  const field = 'spec.disks';
  if (disks.length === 0)
    return refuse('INVALID_FIELD', field, 'A snapshot needs at least one disk.', 'Name a disk of the VM.');
  const unknown = disks.find((disk) => state.current[disk] === undefined || !facts.disks.includes(disk));
  if (unknown !== undefined)
    return refuse('NOT_FOUND', field, `The VM has no disk ${unknown}.`, `It has: ${facts.disks.join(', ')}.`);
  if (state.snapshots.length >= facts.limit) {
    const message = `The VM has ${state.snapshots.length} snapshots, and ${facts.limit} are allowed.`;
    return refuse('LIMIT_REACHED', '', message, 'Delete one that is not needed any more.');
  }
  if (state.snapshots.some((one) => one.name === wish.name || one.id === wish.name))
    return refuse('ALREADY_EXISTS', 'name', `The VM has a snapshot ${wish.name} already.`, 'Choose another name.');
  if (wish.memory) return refuseMemory(disks, facts);
  if (wish.quiesce && !facts.running)
    return refuse(
      'WRONG_STATE',
      'quiesce',
      'The VM does not run: there is no guest to be quiesced.',
      'Leave quiesce out: the disks of a stopped VM are at rest.',
    );
  return undefined;
}

function refuseMemory(disks: readonly string[], facts: CreateFacts): Plan | undefined {
  if (!facts.running)
    return refuse(
      'WRONG_STATE',
      'memory',
      'The VM does not run: it has no memory to save.',
      'Start it first, or take a snapshot of its disks alone.',
    );
  const missing = facts.disks.filter((disk) => !disks.includes(disk));
  if (missing.length > 0)
    return refuse(
      'INVALID_FIELD',
      'spec.disks',
      `Memory fits only to all disks of its moment; ${missing.join(', ')} would be missing.`,
      'Name no disks: a snapshot with memory takes all of them.',
    );
  return undefined;
}

/** New overlays on top of what the snapshot froze; its other disks and all snapshots stay. C-132, V-52 */
export function planRevert(
  state: ChainState,
  id: string,
  facts: Pick<CreateFacts, 'vmId' | 'disks' | 'hardware'>,
): Plan {
  const node = snapshotOf(state, id);
  if (node === undefined) return missingSnapshot(id);
  if (node.state === 'deleting')
    return refuse(
      'WRONG_STATE',
      'snapshot',
      `The deletion of ${node.name} has begun: its data is merged with later data.`,
      'Revert to another snapshot, or delete this one to the end.',
    );
  const lost = Object.keys(node.disks).find((disk) => !facts.disks.includes(disk));
  if (lost !== undefined)
    return refuse('WRONG_STATE', 'snapshot', `The VM has no disk ${lost} any more.`, 'Give it the disk again.');
  if (node.memoryFile !== '' && facts.disks.some((disk) => node.disks[disk] === undefined))
    return refuse(
      'WRONG_STATE',
      'snapshot',
      `The VM has disks that ${node.name} does not know; its memory would not fit to them.`,
      'Detach the disks that were added since.',
    );
  const resized = refuseResized(node, facts.hardware);
  if (resized !== undefined) return resized;
  let { counter } = state;
  const files: Record<string, ChainFile> = { ...state.files };
  const current: Record<string, string> = { ...state.current };
  for (const [disk, { file }] of Object.entries(node.disks)) {
    const overlay = overlayFileName(facts.vmId, disk, ++counter);
    files[overlay] = { disk, backing: file };
    current[disk] = overlay;
  }
  return { ok: true, next: { ...state, files, current, counter, now: id } };
}

/**
 * M-086: memory goes back only into the hardware that it was saved from; that of another size would take what the host never
 * gave. The snapshot is not removed for it: with the size of then it is as good as ever.
 */
function refuseResized({ name, hardware }: SnapshotNode, now: Hardware): Plan | undefined {
  if (hardware === undefined) return undefined;
  const keys = ['vcpus', 'maxVcpus', 'memoryBytes', 'maxMemoryBytes'] as const;
  if (keys.every((key) => hardware[key] === now[key])) return undefined;
  return refuse(
    'WRONG_STATE',
    'snapshot',
    `The memory of ${name} belongs to ${sizeOf(hardware)}; the VM has ${sizeOf(now)} now.`,
    'Stop the VM, give it that size again, and go back then.',
  );
}

function sizeOf({ vcpus, maxVcpus, memoryBytes, maxMemoryBytes }: Hardware): string {
  const mebibytes = (bytes: number): number => bytes / 1024 ** 2;
  const memory = `${mebibytes(memoryBytes)} (at most ${mebibytes(maxMemoryBytes)}) MiB of memory`;
  return `${vcpus} (at most ${maxVcpus}) vCPUs and ${memory}`;
}

export function missingSnapshot(id: string): Plan {
  return refuse('NOT_FOUND', 'snapshot', `The VM has no snapshot ${id}.`, 'See what there is: `ostler snapshot list`.');
}

/** From here on nobody can go back to it, and its files may be merged. */
export function markDeleting(state: ChainState, id: string): ChainState {
  const snapshots = state.snapshots.map((one) => (one.id === id ? { ...one, state: 'deleting' as const } : one));
  return { ...state, snapshots };
}

/** Its children become its parent's. */
export function removeSnapshot(state: ChainState, id: string): ChainState {
  const node = snapshotOf(state, id);
  if (node === undefined) return state;
  const snapshots = state.snapshots
    .filter((one) => one.id !== id)
    .map((one) => (one.parent === id ? { ...one, parent: node.parent } : one));
  return { ...state, snapshots, now: state.now === id ? node.parent : state.now };
}

/** C-133: name, description and tags; an absent one stays. */
export function describeSnapshot(
  state: ChainState,
  id: string,
  changes: { readonly name?: string; readonly description?: string; readonly tags?: Readonly<Record<string, string>> },
): Plan {
  if (snapshotOf(state, id) === undefined) return missingSnapshot(id);
  const { name } = changes;
  if (name !== undefined && state.snapshots.some((one) => one.id !== id && (one.name === name || one.id === name)))
    return refuse('ALREADY_EXISTS', 'name', `The VM has a snapshot ${name} already.`, 'Choose another name.');
  const snapshots = state.snapshots.map((one) => (one.id === id ? { ...one, ...changes } : one));
  return { ok: true, next: { ...state, snapshots } };
}

/** Names of the snapshots that contain a disk: while there are some, the disk may not be removed (M-085). */
export function snapshotsWith(state: ChainState, disk: string): readonly string[] {
  return state.snapshots.filter((one) => one.disks[disk] !== undefined).map((one) => one.name);
}
