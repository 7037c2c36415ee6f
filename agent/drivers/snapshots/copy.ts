import { OstlerError } from '../../../proto/kit/errors.js';
import type { CommandContext, SnapshotSource } from '../../command.js';
import { chainBelow, snapshotOf } from '../../core/snapshot-chain/model.js';
import { missingSnapshot } from '../../core/snapshot-chain/plan.js';
import type { VolumeStep } from '../../core/volume-plan.js';
import { backingOf } from './look.js';
import { openScene, refusalError, type ChainDeps, type Scene } from './scene.js';

/**
 * C-134: the disks of a new VM as full copies of what a snapshot froze. A copy depends on nothing of the other VM afterwards.
 * While it is made no file of the chain may be merged or removed: the controller lets no such verb begin, and a change that
 * was cut off is refused here. A guest that writes meanwhile writes to a file above.
 */
export async function copiesOf(
  volumes: readonly VolumeStep[],
  source: SnapshotSource,
  context: Pick<CommandContext, 'signal' | 'progress'>,
  deps: ChainDeps,
): Promise<readonly VolumeStep[]> {
  const scene = await openScene(source.record, context, deps);
  const { state, pending } = scene.doc;
  const node = snapshotOf(state, source.snapshot);
  if (node === undefined) {
    const plan = missingSnapshot(source.snapshot);
    throw plan.ok ? new Error('unreachable') : refusalError(plan.refusal);
  }
  if (node.state === 'deleting' || (pending !== undefined && pending.kind !== 'create'))
    throw inMotion(scene, node.name);
  const copies: VolumeStep[] = [];
  for (const volume of volumes) {
    const frozen = node.disks[volume.diskName];
    if (frozen === undefined) throw noSuchDisk(scene, node.name, volume.diskName);
    await assertWhole(scene, frozen.file);
    const backing = { path: scene.path(frozen.file), format: 'qcow2' } as const;
    copies.push({ ...volume, kind: 'full', format: 'qcow2', backing });
  }
  await assertRoom(copies, deps);
  return copies;
}

/** M-088: what somebody changed by hand is not what the snapshot froze. */
async function assertWhole(scene: Scene, file: string): Promise<void> {
  for (const name of chainBelow(scene.doc.state, file)) {
    const expected = scene.doc.state.files[name]?.backing ?? '';
    const found = await backingOf(scene, name);
    if (found === expected) continue;
    const real = found === undefined ? 'is not there' : `stands on ${found || 'nothing'}`;
    throw new OstlerError(
      'CHAIN_CHANGED',
      `The disks of ${scene.record.name} were changed from outside: ${name} ${real}.`,
      {
        remedy: 'Undo what was done by hand, then try again.',
        metadata: { file: name, expected },
      },
    );
  }
}

/** Before the first byte: a pool that runs full would stop the guests on it. */
async function assertRoom(copies: readonly VolumeStep[], { host, pools }: ChainDeps): Promise<void> {
  const needed = new Map<string, number>();
  for (const { pool, path, backing } of copies) {
    if (backing === undefined || (await host.files.exists(path))) continue;
    needed.set(pool, (needed.get(pool) ?? 0) + (await host.qemuImg.measure(backing.path)));
  }
  const list = await pools.list({ fresh: true });
  for (const [name, bytes] of needed) {
    const free = list.find((pool) => pool.name === name)?.availableBytes ?? 0;
    if (bytes <= free) continue;
    throw new OstlerError('STORAGE_FULL', `The pool ${name} has ${free} bytes free; the copies take ${bytes}.`, {
      field: 'from_snapshot',
      remedy: 'Free some room in the pool.',
      metadata: { pool: name, needed: String(bytes), available: String(free) },
    });
  }
}

function inMotion(scene: Scene, snapshot: string): OstlerError {
  return new OstlerError('WRONG_STATE', `The files of ${snapshot} of ${scene.record.name} are being changed.`, {
    field: 'from_snapshot.snapshot',
    remedy: 'Choose another snapshot, or let that change end first.',
  });
}

function noSuchDisk(scene: Scene, snapshot: string, disk: string): OstlerError {
  return new OstlerError('NOT_FOUND', `The snapshot ${snapshot} of ${scene.record.name} has no disk ${disk}.`, {
    field: 'spec.disks',
    remedy: 'Name no disks: they are those of the snapshot.',
  });
}
