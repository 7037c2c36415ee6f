import t from 'tap';
import { formatChain } from '../../agent/core/snapshot-chain/document.js';
import { EMPTY_CHAIN, type ChainState, type SnapshotNode } from '../../agent/core/snapshot-chain/model.js';
import { chainFileName, diskFileName, overlayFileName } from '../../agent/core/vm-files.js';
import { makeQcow2 } from '../../agent/fake/qcow2.js';
import { MIB, type Disk, type VmRecord } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';
import { IMAGE, startApplyRig, type ApplyRig } from './apply-rig.js';

/** Disks that leave a VM which has, or had, snapshots. */
const data: Disk = {
  ...{ name: 'data1', image: '', sizeBytes: 64 * MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
};
const { spec } = sampleRecord();
const root = spec.disks.slice(0, 1);
const WITHOUT = sampleRecord({ spec: { ...spec, disks: root, bootOrder: [root[0]?.name ?? ''] } });
const WITH: VmRecord = { ...WITHOUT, spec: { ...WITHOUT.spec, disks: [...root, data] } };
const BASE = diskFileName(WITH.id, 'data1');
const HEAD = overlayFileName(WITH.id, 'data1', 1);
const CHAIN = `/pool/${chainFileName(WITH.id)}`;

function writeChain(rig: ApplyRig, state: Partial<ChainState>): void {
  const whole = { ...EMPTY_CHAIN, counter: 1, ...state };
  const text = formatChain({
    ...{ version: 1, vmId: WITH.id, revision: 1, state: whole, pending: undefined, trash: [] },
  });
  rig.world.files.set(CHAIN, Buffer.from(text));
}

const node: SnapshotNode = {
  ...{ id: 's-00000000000000000001', name: 'before', description: '', tags: {}, parent: '', time: 1, state: 'ready' },
  ...{ disks: { data1: { file: BASE, sizeBytes: data.sizeBytes } }, memoryFile: '', quiesced: false },
};
const removal = { previous: WITH, record: WITHOUT, images: [IMAGE], deleteVolumes: true };

// M-085
void t.test('a disk that a snapshot contains stays, whole', async (t) => {
  const rig = await startApplyRig(WITH, { start: false });
  rig.world.files.set(`/pool/${HEAD}`, makeQcow2(data.sizeBytes));
  const files = { [BASE]: { disk: 'data1', backing: '' }, [HEAD]: { disk: 'data1', backing: BASE } };
  writeChain(rig, { files, current: { data1: HEAD }, snapshots: [node], now: node.id });
  const before = rig.poolFiles();
  await t.rejects(rig.run(removal), { code: 'IN_USE', message: /before/ });
  await t.rejects(rig.plan(removal), { code: 'IN_USE' });
  writeChain(rig, { files, current: { data1: HEAD } });
  await t.rejects(rig.run(removal), { code: 'IN_USE', message: /merged/ }, 'nor while its files are not one');
  t.same(rig.poolFiles(), before);
});

void t.test('without snapshots the newest of its files goes, and is forgotten', async (t) => {
  const rig = await startApplyRig(WITH, { start: false });
  rig.world.files.delete(`/pool/${BASE}`);
  rig.world.files.set(`/pool/${HEAD}`, makeQcow2(data.sizeBytes));
  writeChain(rig, { files: { [HEAD]: { disk: 'data1', backing: '' } }, current: { data1: HEAD } });
  const facts = await rig.run(removal);
  t.equal(facts['removed.data1'], `/pool/${HEAD}`);
  t.notOk(rig.poolFiles().includes(`/pool/${HEAD}`));
  t.notMatch(rig.world.files.get(CHAIN)?.toString(), 'data1');
});
