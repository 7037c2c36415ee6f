import { OstlerError } from '../../../proto/kit/errors.js';
import { rootDisk, type VmRecord } from '../../../proto/model/vm.js';
import type { CommandContext } from '../../command.js';
import { diskTargets, type DiskTarget } from '../../core/disk-target.js';
import { formatChain, parseChain } from '../../core/snapshot-chain/document.js';
import {
  EMPTY_CHAIN,
  type ChainDocument,
  type ChainFile,
  type ChainState,
  type Hardware,
} from '../../core/snapshot-chain/model.js';
import { chainFileName, diskFileName, parseFileName } from '../../core/vm-files.js';
import type { Refusal } from '../../core/refusal.js';
import type { Pool } from '../pools.js';
import type { DriverDeps } from '../deps.js';

/** What work on disks needs of the agent. */
export type ChainDeps = Pick<
  DriverDeps,
  'hypervisor' | 'host' | 'pools' | 'layout' | 'intents' | 'clock' | 'log' | 'fault'
>;

/** One VM's disks, with what is written down of them. */
export interface Scene {
  readonly record: VmRecord;
  readonly deps: ChainDeps;
  readonly context: Pick<CommandContext, 'signal' | 'progress'>;
  /** Names of the disks (no CD-ROMs), the boot disk first. */
  readonly disks: readonly string[];
  readonly targets: ReadonlyMap<string, DiskTarget>;
  /** Whether the document is on disk: nothing is written for a VM that never had a snapshot. */
  readonly written: boolean;
  /** As it is on disk; replaced by `save` alone. */
  doc: ChainDocument;
  /** Of one of this VM's files. */
  path(file: string): string;
}

/** What a saved memory of the VM would be bound to. */
export function hardwareOf({ spec }: VmRecord): Hardware {
  const { vcpus, maxVcpus } = spec.cpu;
  const { sizeBytes: memoryBytes, maxSizeBytes: maxMemoryBytes } = spec.memory;
  return { vcpus, maxVcpus, memoryBytes, maxMemoryBytes };
}

/** Directories of the VM's disks, by disk. */
function directoriesOf(record: VmRecord, pools: readonly Pool[], defaultPool: string): ReadonlyMap<string, string> {
  const found = new Map<string, string>();
  for (const disk of record.spec.disks) {
    const name = disk.pool === '' ? defaultPool : disk.pool;
    const pool = pools.find((one) => one.name === name);
    if (pool !== undefined) found.set(disk.name, pool.path.replace(/\/$/, ''));
  }
  return found;
}

/** Where the VM's document lies; undefined: its pool is not known on this host. */
export function chainPath(record: VmRecord, pools: readonly Pool[], defaultPool: string): string | undefined {
  const boot = rootDisk(record.spec);
  const directory = boot === undefined ? undefined : directoriesOf(record, pools, defaultPool).get(boot.name);
  return directory === undefined ? undefined : `${directory}/${chainFileName(record.id)}`;
}

/** What is written down; undefined when there is nothing. BAD_IMAGE-like refusal when it cannot be read: it is never guessed. */
export async function readChain(
  record: VmRecord,
  pools: readonly Pool[],
  deps: Pick<ChainDeps, 'host' | 'pools'>,
): Promise<ChainDocument | undefined> {
  const path = chainPath(record, pools, deps.pools.defaultPool);
  if (path === undefined || !(await deps.host.files.exists(path))) return undefined;
  const parsed = parseChain((await deps.host.files.read(path)).toString('utf8'), record.id);
  if (parsed.ok) return parsed.document;
  throw new OstlerError('CHAIN_CHANGED', `${path} cannot be understood: ${parsed.reason}.`, {
    remedy: 'Restore that file from a backup; nothing of the disks was touched.',
    metadata: { path },
  });
}

export async function openScene(record: VmRecord, context: Scene['context'], deps: ChainDeps): Promise<Scene> {
  const pools = await deps.pools.list();
  const { defaultPool } = deps.pools;
  const directories = directoriesOf(record, pools, defaultPool);
  const disks = record.spec.disks.filter((disk) => disk.device === 'disk').map((disk) => disk.name);
  const document = await readChain(record, pools, deps);
  const directoryOf = (file: string): string => {
    const parsed = parseFileName(file);
    const owner = record.spec.disks.find((one) => one.volume === file)?.name;
    const disk =
      owner !== undefined ? owner : parsed !== undefined && 'diskName' in parsed ? parsed.diskName : disks[0];
    const directory = directories.get(disk ?? '') ?? directories.get(disks[0] ?? '');
    if (directory !== undefined) return directory;
    throw new OstlerError('NOT_FOUND', `The pool of disk ${disk ?? ''} is not on this host.`, {
      remedy: 'Start the pool on the host, or look at its name in the VM.',
    });
  };
  const path = (file: string): string => `${directoryOf(file)}/${file}`;
  const empty: ChainDocument = {
    ...{ version: 1, vmId: record.id, revision: 0, state: EMPTY_CHAIN, pending: undefined, trash: [] },
  };
  const scene: Scene = {
    ...{ record, deps, context, disks, path, written: document !== undefined, doc: document ?? empty },
    targets: diskTargets(record.spec.disks),
  };
  scene.doc = { ...scene.doc, state: await withPresentDisks(scene) };
  return scene;
}

/** Disks that came since are taken in as they are; of disks that went, what no snapshot needs is forgotten (not removed). */
async function withPresentDisks(scene: Scene): Promise<ChainState> {
  const { state, pending } = scene.doc;
  if (pending !== undefined) return state;
  const files: Record<string, ChainFile> = { ...state.files };
  const current: Record<string, string> = {};
  for (const disk of scene.disks) {
    const known = state.current[disk];
    const { volume } = scene.record.spec.disks.find((one) => one.name === disk) ?? {};
    const name = known ?? volume ?? diskFileName(scene.record.id, disk);
    current[disk] = name;
    if (known !== undefined) continue;
    const { backingFile } = await scene.deps.host.qemuImg.glance(scene.path(name));
    files[name] = { disk, backing: backingFile ?? '' };
  }
  const gone = new Set(
    Object.entries(state.current).flatMap(([disk, name]) => (current[disk] === undefined ? [name] : [])),
  );
  const left = Object.fromEntries(Object.entries(files).filter(([name]) => !gone.has(name)));
  return { ...state, files: left, current };
}

/** Writes the document; durable when it returns. */
export async function save(
  scene: Scene,
  change: Partial<Pick<ChainDocument, 'state' | 'pending' | 'trash'>>,
): Promise<void> {
  const doc: ChainDocument = { ...scene.doc, ...change, revision: scene.doc.revision + 1 };
  scene.deps.fault('snapshot.saving');
  await scene.deps.host.files.writeAtomic(scene.path(chainFileName(scene.record.id)), formatChain(doc), 0o600);
  scene.doc = doc;
  scene.deps.fault('snapshot.saved');
}

/** Removes what nothing needs. A file that is still there after a crash is in the list still. */
export async function emptyTrash(scene: Scene): Promise<void> {
  if (scene.doc.trash.length === 0) return;
  for (const name of scene.doc.trash) {
    await scene.deps.host.files.remove(scene.path(name));
    scene.deps.fault('snapshot.file-removed');
  }
  await save(scene, { trash: [] });
}

export function refusalError({ code, field, message, remedy }: Refusal): OstlerError {
  return new OstlerError(code, message, {
    ...(field === '' ? {} : { field }),
    ...(remedy === '' ? {} : { remedy }),
  });
}
