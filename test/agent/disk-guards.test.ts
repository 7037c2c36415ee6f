import t from 'tap';
import type { CommandBody } from '../../agent/command.js';
import { formatChain } from '../../agent/core/snapshot-chain/document.js';
import { EMPTY_CHAIN } from '../../agent/core/snapshot-chain/model.js';
import { chainFileName, diskFileName, overlayFileName } from '../../agent/core/vm-files.js';
import { makeQcow2 } from '../../agent/fake/qcow2.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { MIB, type Disk, type VmRecord, type VmSpec } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';
import { IMAGE, startApplyRig, type ApplyRig } from './apply-rig.js';

/** What the agent refuses by itself, because it sees what the controller may not know: saved memory, snapshots, raw volumes. */
const disk = (name: string, changes: Partial<Disk> = {}): Disk => ({
  ...{ name, image: '', sizeBytes: 64 * MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
  ...changes,
});
const base = sampleRecord().spec;
const root = disk('root', { image: IMAGE.id, sizeBytes: 256 * MIB });
const recordWith = (disks: readonly Disk[], more: Partial<VmSpec> = {}): VmRecord =>
  sampleRecord({
    spec: { ...base, ...more, disks: [...disks], bootOrder: [...disks, ...base.nics].map((one) => one.name) },
  });
const wish = (name: string, disks: string[] = []) => ({
  ...{ id: `snap-${name.padEnd(10, '0')}`, name, description: '', tags: {}, disks, memory: false, quiesce: false },
});
const take = (record: VmRecord, name: string, disks?: string[]): CommandBody => ({
  ...{ kind: 'snapshot-create', record, wish: wish(name, disks), limit: 10, waitMs: 30_000 },
});

/** Definition, running domain and files, as text. */
function everything(rig: ApplyRig, { uuid }: VmRecord): unknown {
  const domain = rig.world.controls.domains.get(uuid);
  return [domain?.xml, domain?.liveXml, domain?.saved, rig.poolFiles()];
}

void t.test('the memory of a suspended VM keeps its disks and hardware as they are', async (t) => {
  const record = recordWith([root, disk('data1')]);
  const rig = await startApplyRig(record);
  await rig.verb(take(record, 'before'));
  await rig.verb({ kind: 'suspend' });
  const before = everything(rig, record);
  const snapshot = wish('before').id;
  const grown = recordWith([root, disk('data1', { sizeBytes: 128 * MIB })]);
  const images = [IMAGE];
  const refused: CommandBody[] = [
    { kind: 'apply', previous: record, record: grown, images, deleteVolumes: false },
    take(record, 'after'),
    { kind: 'snapshot-revert', record, snapshot },
    { kind: 'snapshot-delete', record, snapshot },
    { kind: 'snapshot-flatten', record, disks: [] },
    { kind: 'rebuild-root', record, images },
    { kind: 'start', record, images },
  ];
  for (const body of refused) {
    const error = { code: 'WRONG_STATE', message: /saved memory/, remedy: /Resume it/ };
    await t.rejects(rig.verb(body), error, body.kind);
    t.same(everything(rig, record), before, `${body.kind} changed nothing`);
  }
  await t.rejects(
    rig.plan({ previous: record, record: grown, images, deleteVolumes: false }),
    { message: /saved memory/ },
    'the plan says so, too',
  );
  await rig.verb({ kind: 'resume' });
  await rig.verb({ kind: 'apply', previous: record, record: grown, images, deleteVolumes: false });
  t.equal(rig.world.controls.domains.get(record.uuid)?.state, 'running');
});

void t.test('a root disk that snapshots contain is not made anew', async (t) => {
  const record = recordWith([root, disk('data1')]);
  const rig = await startApplyRig(record, { start: false });
  await rig.verb(take(record, 'before', ['root']));
  const before = everything(rig, record);
  const images = [IMAGE];
  const inUse = { code: 'IN_USE', message: /1 snapshot\(s\).*before/ };
  await t.rejects(rig.verb({ kind: 'rebuild-root', record, images }), inUse, 'M-036');
  const forgetful = recordWith(record.spec.disks, { resetRootAtReboot: true });
  await t.rejects(rig.verb({ kind: 'start', record: forgetful, images }), inUse, 'M-034: by a start');
  const change = { previous: record, record: forgetful, images, deleteVolumes: false };
  await t.rejects(rig.run(change), inUse, 'M-034: it cannot become one that is reset');
  t.same(everything(rig, record), before);
  await rig.verb({ kind: 'snapshot-delete', record, snapshot: wish('before').id });
  await rig.verb({ kind: 'rebuild-root', record, images });
});

void t.test('a root disk that is made anew at every start has no snapshots', async (t) => {
  const record = recordWith([root, disk('data1')], { resetRootAtReboot: true });
  const rig = await startApplyRig(record);
  const before = everything(rig, record);
  const error = { code: 'WRONG_STATE', field: 'disks', message: /made anew at every start/, remedy: /other disks/ };
  for (const disks of [[], ['root'], ['data1', 'root']])
    await t.rejects(rig.verb(take(record, 'no', disks)), error, `M-034: ${disks.join()}`);
  t.same(everything(rig, record), before);
  await rig.verb(take(record, 'data', ['data1']));
  await rig.verb({ kind: 'shutdown', force: true, timeoutMs: 1, onTimeout: 'keep-running' });
  await rig.verb({ kind: 'start', record, images: [IMAGE] });
  t.equal(rig.world.controls.domains.get(record.uuid)?.state, 'running', 'which does not keep it from starting');
});

void t.test('raw volumes have no snapshots', async (t) => {
  const record = recordWith([root, disk('old', { volume: 'old.img', sizeBytes: 4096 }), disk('data1')]);
  const rig = await startApplyRig(recordWith([root, disk('data1')]));
  rig.world.files.set('/pool/old.img', Buffer.alloc(4096, 7));
  const previous = recordWith([root, disk('data1')]);
  await rig.run({ previous, record, images: [IMAGE], deleteVolumes: false });
  const before = everything(rig, record);
  const error = { code: 'UNSUPPORTED', field: 'spec.disks', message: /old is the raw volume old\.img/ };
  await t.rejects(rig.verb(take(record, 'no', ['root', 'old'])), error);
  t.same(everything(rig, record), before);
  await rig.verb(take(record, 'others', ['root', 'data1']));
  t.same(rig.world.files.get('/pool/old.img'), Buffer.alloc(4096, 7));
});

void t.test('autostart follows the record', async (t) => {
  const off = recordWith([root]);
  const on = recordWith([root], { autostart: true });
  const rig = await startApplyRig(off);
  const autostart = (): boolean | undefined => rig.world.controls.domains.get(off.uuid)?.autostart;
  const change = { images: [IMAGE], deleteVolumes: false };
  t.equal(autostart(), false);
  const grown = { ...on, spec: { ...on.spec, shutdownTimeoutSeconds: 5 } };
  await rig.run({ ...change, previous: off, record: grown });
  t.equal(autostart(), true, 'switched on beside another change');
  await rig.run({
    ...change,
    previous: grown,
    record: { ...grown, spec: { ...grown.spec, shutdownTimeoutSeconds: 6 } },
  });
  t.equal(autostart(), true, 'it stays');
  await rig.run({ ...change, previous: grown, record: off });
  t.equal(autostart(), false);
});

void t.test('a snapshot of disks whose letters have moved', async (t) => {
  const one = recordWith([root, disk('data1'), disk('data2')]);
  const two = recordWith([root, disk('data2'), disk('data3')]);
  const rig = await startApplyRig(one);
  const between = recordWith([root, disk('data2')]);
  await rig.run({ previous: one, record: between, images: [IMAGE], deleteVolumes: true });
  await rig.run({ previous: between, record: two, images: [IMAGE], deleteVolumes: true });
  const devs = async (inactive: boolean): Promise<Record<string, string>> => {
    const { disks } = readDomain(await rig.world.hypervisor.domainXml(one.uuid, { inactive }));
    return Object.fromEntries(disks.map(({ serial = '', dev, source = '' }) => [serial, `${dev} ${source}`]));
  };
  const own = (name: string): string => `/pool/${diskFileName(one.id, name)}`;
  t.match(
    await devs(false),
    { data2: `vdc ${own('data2')}`, data3: `vdb ${own('data3')}` },
    'data3 took the free letter',
  );
  t.match(await devs(true), { data2: `vdc ${own('data2')}`, data3: `vdb ${own('data3')}` }, 'the definition agrees');
  await rig.verb(take(two, 'moved', ['data2', 'data3']));
  const overlay = (name: string, n: number): string => `/pool/${overlayFileName(one.id, name, n)}`;
  const expected = { data2: `vdc ${overlay('data2', 1)}`, data3: `vdb ${overlay('data3', 2)}` };
  t.match(await devs(false), expected);
  t.match(await devs(true), expected, 'a start by libvirt alone begins on the same files');
  await rig.verb({ kind: 'shutdown', force: true, timeoutMs: 1, onTimeout: 'keep-running' });
  await rig.verb({ kind: 'start', record: two, images: [IMAGE] });
  const again = { data2: `vdb ${overlay('data2', 1)}`, data3: `vdc ${overlay('data3', 2)}` };
  t.match(await devs(false), again, 'in the order of the record again');
});

void t.test('files that were merged to the end are renewed in place', async (t) => {
  const record = recordWith([root]);
  const rig = await startApplyRig(record, { start: false });
  const head = overlayFileName(record.id, 'root', 1);
  rig.world.files.delete(`/pool/${diskFileName(record.id, 'root')}`);
  rig.world.files.set(`/pool/${head}`, makeQcow2(root.sizeBytes));
  const state = {
    ...EMPTY_CHAIN,
    counter: 1,
    files: { [head]: { disk: 'root', backing: '' } },
    current: { root: head },
  };
  const chain = { version: 1, vmId: record.id, revision: 1, state, pending: undefined, trash: [] } as const;
  rig.world.files.set(`/pool/${chainFileName(record.id)}`, Buffer.from(formatChain(chain)));
  await rig.verb({ kind: 'start', record, images: [IMAGE] });
  await rig.verb({ kind: 'shutdown', force: true, timeoutMs: 1, onTimeout: 'keep-running' });
  const facts = await rig.verb({ kind: 'rebuild-root', record, images: [IMAGE] });
  t.equal(facts['volume.root'], `/pool/${head}`);
  await rig.verb(take(record, 'later'));
  t.ok(rig.poolFiles().includes(`/pool/${overlayFileName(record.id, 'root', 2)}`), 'and snapshots go on from there');
});
