import type { VmRecord } from '../../../proto/model/vm.js';
import type { Snapshot, SnapshotList } from '../../../proto/model/snapshot.js';
import { snapshotOf, type SnapshotNode } from '../../core/snapshot-chain/model.js';
import { openScene, type ChainDeps, type Scene } from './scene.js';

/** V-51: the tree of snapshots with the size of each delta, where the present is, and how much has changed since. */
export async function listSnapshots(record: VmRecord, deps: ChainDeps): Promise<SnapshotList> {
  const never = new AbortController().signal;
  const scene = await openScene(record, { signal: never, progress: () => undefined }, deps);
  const { state, pending } = scene.doc;
  const being = pending?.kind === 'create' ? snapshotOf(pending.next, pending.snapshot) : undefined;
  const ready = await Promise.all(state.snapshots.map((node) => describe(node, node.state, scene)));
  const created = being === undefined ? [] : [await describe(being, 'creating', scene)];
  const changed = await Promise.all(Object.values(state.current).map((file) => allocated(scene, file)));
  return { snapshots: [...ready, ...created], now: state.now, changedBytes: changed.reduce((a, b) => a + b, 0) };
}

async function describe(node: SnapshotNode, state: Snapshot['state'], scene: Scene): Promise<Snapshot> {
  const { id, name, description, tags, parent, time, quiesced, memoryFile } = node;
  const disks = await Promise.all(
    Object.entries(node.disks).map(async ([disk, { file, sizeBytes }]) => ({
      ...{ name: disk, file, sizeBytes },
      deltaBytes: await allocated(scene, file),
    })),
  );
  const memoryBytes = memoryFile === '' ? 0 : ((await scene.deps.host.files.size(scene.path(memoryFile))) ?? 0);
  return {
    ...{ id, name, description, tags, parent, time, quiesced, state, disks, memoryBytes },
    memory: memoryFile !== '',
  };
}

/** 0 for a file that is not there (any more): a list is made without a lock. */
async function allocated(scene: Scene, file: string): Promise<number> {
  try {
    return (await scene.deps.host.qemuImg.glance(scene.path(file))).actualSizeBytes;
  } catch {
    return 0;
  }
}
