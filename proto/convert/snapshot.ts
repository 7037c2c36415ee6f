import { ostler } from '../gen/ostler.js';
import { snapshotSchema, type Snapshot, type SnapshotList } from '../model/snapshot.js';
import { fromWireTime, toWireTime } from '../time.js';
import { enumFromWire, enumToWire, SNAPSHOT_STATES } from './enums.js';
import { parseModel } from './parse.js';

export function snapshotToWire(snapshot: Snapshot, now: string, vmId: string): ostler.v1.Snapshot.$Properties {
  const { time, state, disks, tags, ...rest } = snapshot;
  return {
    ...rest,
    tags: { ...tags },
    disks: disks.map((disk) => ({ ...disk })),
    state: enumToWire(SNAPSHOT_STATES, state),
    now: snapshot.id === now,
    createTime: toWireTime(time),
    vm: vmId,
  };
}

export function snapshotListToWire(list: SnapshotList, vmId = ''): ostler.v1.ListSnapshotsResponse.$Properties {
  return {
    snapshots: list.snapshots.map((one) => snapshotToWire(one, list.now, vmId)),
    now: list.now,
    changedBytes: list.changedBytes,
  };
}

/** What an agent told. INVALID_FIELD when it cannot be. */
export function snapshotListFromWire(wire: ostler.v1.ListSnapshotsResponse.$Properties): SnapshotList {
  const snapshots = (wire.snapshots ?? []).map((one, index) =>
    parseModel(
      snapshotSchema,
      {
        id: one.id ?? '',
        name: one.name ?? '',
        description: one.description ?? '',
        tags: { ...one.tags },
        parent: one.parent ?? '',
        time: fromWireTime(one.createTime) ?? 0,
        state: enumFromWire(SNAPSHOT_STATES, one.state, `snapshots[${index}].state`),
        disks: (one.disks ?? []).map((disk) => ({
          name: disk.name ?? '',
          file: disk.file ?? '',
          sizeBytes: disk.sizeBytes ?? 0,
          deltaBytes: disk.deltaBytes ?? 0,
        })),
        memory: one.memory ?? false,
        memoryBytes: one.memoryBytes ?? 0,
        quiesced: one.quiesced ?? false,
      },
      `snapshots[${index}]`,
    ),
  );
  return { snapshots, now: wire.now ?? '', changedBytes: wire.changedBytes ?? 0 };
}
