import { OstlerError } from '../../../proto/kit/errors.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import { chainBelow } from '../../core/snapshot-chain/model.js';
import { snapshotsWith } from '../../core/snapshot-chain/plan.js';
import { openScene, readChain, save, type ChainDeps, type Scene } from './scene.js';

/**
 * M-085: a disk that a snapshot contains may not be taken from the VM, nor be made anew; adding one is always allowed. A disk
 * whose files are still being merged is not in one piece, so it stays, too.
 */
export async function refuseDiskInSnapshot(
  record: VmRecord,
  disk: string,
  deps: Pick<ChainDeps, 'host' | 'pools'>,
): Promise<void> {
  const chain = await readChain(record, await deps.pools.list(), deps);
  if (chain === undefined) return;
  const names = snapshotsWith(chain.state, disk);
  if (names.length > 0) {
    const few = names.slice(0, 5).join(', ');
    throw new OstlerError(
      'IN_USE',
      `The disk ${disk} is part of ${names.length} snapshot(s) of ${record.name}: ${few}.`,
      {
        remedy: 'Delete these snapshots first.',
        metadata: { snapshots: names.slice(0, 50).join(',') },
      },
    );
  }
  const file = chain.state.current[disk];
  if (file === undefined) return;
  if (chain.pending === undefined && chainBelow(chain.state, file).length <= 1) return;
  throw new OstlerError('IN_USE', `The files of the disk ${disk} of ${record.name} are not merged to the end yet.`, {
    remedy: 'Flatten the disk first: that finishes it.',
  });
}

/** After a disk has left the record: what is written down of the VM's disks knows it no more. */
export async function forgetLeftDisks(record: VmRecord, context: Scene['context'], deps: ChainDeps): Promise<void> {
  if ((await readChain(record, await deps.pools.list(), deps)) === undefined) return;
  const scene = await openScene(record, context, deps);
  if (scene.doc.pending === undefined) await save(scene, { state: scene.doc.state });
}

/** After a disk that `refuseDiskInSnapshot` let pass was made anew in place: what its file stands on is written down. */
export async function noteRenewedDisk(
  record: VmRecord,
  disk: string,
  context: Scene['context'],
  deps: ChainDeps,
): Promise<void> {
  if ((await readChain(record, await deps.pools.list(), deps)) === undefined) return;
  const scene = await openScene(record, context, deps);
  const { state, pending } = scene.doc;
  const file = state.current[disk];
  if (file === undefined || pending !== undefined) return;
  const { backingFile = '' } = await deps.host.qemuImg.glance(scene.path(file));
  await save(scene, { state: { ...state, files: { ...state.files, [file]: { disk, backing: backingFile } } } });
}
