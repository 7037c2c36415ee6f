import { OstlerError } from '../../../proto/kit/errors.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import { snapshotsWith } from '../../core/snapshot-chain/plan.js';
import { readChain, type ChainDeps } from './scene.js';

/** M-085: a disk that a snapshot contains may not be taken from the VM; adding one is always allowed. */
export async function refuseDiskInSnapshot(
  record: VmRecord,
  disk: string,
  deps: Pick<ChainDeps, 'host' | 'pools'>,
): Promise<void> {
  const chain = await readChain(record, await deps.pools.list(), deps);
  const names = chain === undefined ? [] : snapshotsWith(chain.state, disk);
  if (names.length === 0) return;
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
