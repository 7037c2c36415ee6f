import { ostler } from '../../proto/gen/ostler.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Handlers } from '../../proto/server.js';
import type { snapshotService } from '../../proto/services.js';
import { toWireTime } from '../../proto/time.js';
import { NOW, type Fake } from './fake-server.js';

const { v1 } = ostler;
type Snapshot = ostler.v1.Snapshot.$Properties;

/** A tree of four in two branches; the present grew from `branch`. */
export const snapshots = (): readonly Snapshot[] => [
  one('snap-0000000001', 'base', '', { ageMs: 7_200_000, bytes: 3_145_728, description: 'fresh' }),
  one('snap-0000000002', 'leaf', 'snap-0000000001', { ageMs: 3_600_000, bytes: 65_536 }),
  one('snap-0000000003', 'branch', 'snap-0000000001', { ageMs: 60_000, bytes: 196_608, now: true, memory: 1_048_576 }),
  one('snap-0000000004', 'old', '', { ageMs: 86_400_000, bytes: 0 }),
];

function one(
  id: string,
  name: string,
  parent: string,
  more: { ageMs: number; bytes: number; description?: string; now?: boolean; memory?: number },
): Snapshot {
  return {
    ...{ id, name, parent, vm: 'i-7q2m4c9xkd', description: more.description ?? '', tags: {}, quiesced: false },
    state: v1.SnapshotState.SNAPSHOT_READY,
    disks: [{ name: 'root', file: `${name}.qcow2`, sizeBytes: 10 * 2 ** 30, deltaBytes: more.bytes }],
    memory: more.memory !== undefined,
    memoryBytes: more.memory ?? 0,
    now: more.now ?? false,
    createTime: toWireTime(NOW - more.ageMs),
  };
}

export function snapshotHandlers(fake: Fake): Handlers<(typeof snapshotService)['methods']> {
  const start = (kind: string): Promise<ostler.v1.Operation.$Properties> => {
    const operation = {
      id: `op-${String(fake.operations.size + 1).padStart(10, '0')}`,
      ...{ kind, target: 'i-7q2m4c9xkd', targetName: 'web1', createdBy: 'admin' },
      state: v1.OperationState.PENDING,
      createTime: toWireTime(NOW - 1200),
    };
    fake.operations.set(operation.id, operation);
    return Promise.resolve(operation);
  };
  return {
    listSnapshots: ({ vm }) =>
      Promise.resolve(
        vm === 'db1' ? {} : { snapshots: [...snapshots()], now: 'snap-0000000003', changedBytes: 1_572_864 },
      ),
    getSnapshot: ({ snapshot }) => {
      const found = snapshots().find(({ id, name }) => id === snapshot || name === snapshot);
      if (found !== undefined) return Promise.resolve(found);
      throw new OstlerError('NOT_FOUND', `There is no snapshot ${snapshot}.`);
    },
    createSnapshot: () => start('snapshot.create'),
    updateSnapshot: () => start('snapshot.update'),
    deleteSnapshot: () => start('snapshot.delete'),
    revertSnapshot: () => start('snapshot.revert'),
    flattenDisks: () => start('snapshot.flatten'),
  };
}
