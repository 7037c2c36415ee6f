import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { operationService, snapshotService, vmService } from '../../proto/services.js';
import { blankVm, runningVm, startRig } from './rig.js';
import { GIB } from '../store/documents.js';

const { OperationState, SnapshotState, VmState } = ostler.v1;

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
const snapshots = rig.client(snapshotService);
const vms = rig.client(vmService);
const vm = await runningVm(rig, 'web1');

void t.test('listed as a tree, parents first, with the place of now', async (t) => {
  const list = await snapshots.listSnapshots({ vm: 'web1' });
  t.same(list.snapshots.map((one) => [one.name, one.parent, one.now, one.vm]), [['plain', '', false, vm.id], ['ram', 'snap-0000000001', true, vm.id]], 'V-51'); // prettier-ignore
  t.equal(list.changedBytes, 4096, 'V-51');
  const one = await snapshots.getSnapshot({ vm: vm.uuid, snapshot: 'snap-0000000001' });
  t.match(one, { name: 'plain', state: SnapshotState.SNAPSHOT_READY, disks: [{ deltaBytes: 512 }] }, 'C-038');
  const unknown = { code: 'NOT_FOUND', field: 'snapshot', remedy: /ostler snapshot list web1/ };
  await t.rejects(snapshots.getSnapshot({ vm: 'web1', snapshot: 'nosuch' }), unknown);
  await t.rejects(snapshots.getSnapshot({ vm: 'web1' }), { code: 'INVALID_FIELD', field: 'snapshot' });
  await t.rejects(snapshots.listSnapshots({ vm: 'nosuch' }), { code: 'NOT_FOUND', field: 'vm' });
});

void t.test('created by an operation on the VM, which runs on', async (t) => {
  const asked = { vm: 'web1', name: '밤', tags: { kind: 'nightly' }, requestId: 'r1' };
  const started = await snapshots.createSnapshot(asked);
  t.match(started, { kind: 'snapshot.create', target: vm.id });
  const again = await snapshots.createSnapshot(asked);
  t.equal(again.id, started.id, 'the same request is one snapshot');
  const done = await rig.finished(started);
  t.equal(done.state, OperationState.SUCCEEDED, done.error?.message ?? '');
  t.equal((await vms.getVm({ vm: 'web1' })).state, VmState.RUNNING, 'C-131, C-019');
  const dry = await snapshots.createSnapshot({ vm: 'web1', memory: true, validateOnly: true });
  t.equal(dry.id, '');
  t.match(dry.plan, [/all disks and the memory of web1/]);
  const listed = await rig.client(operationService).listOperations({});
  t.equal(listed.operations.filter((one) => one.kind === 'snapshot.create').length, 1, 'C-131: seen in the task list');
});

void t.test('refusals name the field or the remedy', async (t) => {
  const wrong: readonly [object, { code: string; field?: string }][] = [
    [{ name: 'a/b' }, { code: 'INVALID_FIELD', field: 'name' }],
    [{ name: ' a' }, { code: 'INVALID_FIELD', field: 'name' }],
    [{ disks: ['../x'] }, { code: 'INVALID_FIELD', field: 'disks[0]' }],
    [{ tags: { '': 'x' } }, { code: 'INVALID_FIELD' }],
    [
      { memory: true, quiesce: true },
      { code: 'INVALID_FIELD', field: 'quiesce' },
    ],
  ];
  for (const [request, refusal] of wrong)
    await t.rejects(snapshots.createSnapshot({ vm: 'web1', ...request }), refusal, JSON.stringify(request));
  const runs = { code: 'WRONG_STATE', remedy: /ostler stop web1/ };
  await t.rejects(snapshots.revertSnapshot({ vm: 'web1', snapshot: 'plain' }), runs, 'C-132, C-039');
  const masks = [
    [['disks'], 'UNSUPPORTED'],
    [[], 'INVALID_FIELD'],
  ] as const;
  for (const [paths, code] of masks) {
    const request = { vm: 'web1', snapshot: 'plain', values: {}, updateMask: { paths: [...paths] } };
    await t.rejects(snapshots.updateSnapshot(request), { code, field: 'update_mask' }, 'C-133: metadata only');
  }
});

void t.test('a root disk that is made anew at every start has none', async (t) => {
  await rig.anImage('forgetful');
  const disks = [
    { name: 'root', image: 'forgetful', sizeBytes: GIB },
    { name: 'data1', sizeBytes: GIB },
  ];
  await rig.finished(await vms.createVm({ ...blankVm('kiosk', { disks, resetRootAtReboot: true }), start: true }));
  const refused = { code: 'WRONG_STATE', field: 'disks', remedy: /other disks/ };
  for (const names of [[], ['root'], ['data1', 'root']])
    await t.rejects(snapshots.createSnapshot({ vm: 'kiosk', disks: names }), refused, `M-034: ${names.join()}`);
  await t.rejects(snapshots.createSnapshot({ vm: 'kiosk', memory: true }), refused, 'M-034: with memory');
  const data = await rig.finished(await snapshots.createSnapshot({ vm: 'kiosk', disks: ['data1'] }));
  t.equal(data.state, OperationState.SUCCEEDED, data.error?.message ?? '');
});

void t.test('back to one with memory: a stopped VM runs again', async (t) => {
  await rig.finished(await vms.stopVm({ vm: 'web1', force: true }));
  const memory = { code: 'WRONG_STATE', field: 'memory' };
  await t.rejects(snapshots.createSnapshot({ vm: 'web1', memory: true }), memory, 'M-093: RAM of a stopped VM');
  const plain = await rig.finished(await snapshots.revertSnapshot({ vm: 'web1', snapshot: 'plain' }));
  t.equal(plain.state, OperationState.SUCCEEDED, plain.error?.message ?? '');
  t.equal((await vms.getVm({ vm: 'web1' })).state, VmState.STOPPED, 'C-132: boot anew');
});

// C-134
void t.test(
  'a VM from a snapshot: its disks, a MAC address of its own, the rest as the other unless it is said',
  async (t) => {
    const fromSnapshot = { vm: 'web1', snapshot: 'plain' };
    const dry = await vms.createVm({ name: 'twin', fromSnapshot, validateOnly: true });
    t.match(dry.plan.join(' '), /Copy the disk root of .* from the snapshot plain of web1/);
    const done = await rig.finished(await vms.createVm({ name: 'twin', fromSnapshot, requestId: 'twin' }));
    t.equal(done.state, OperationState.SUCCEEDED, done.error?.message ?? '');
    const origin = await vms.getVm({ vm: 'web1' });
    const twin = await vms.getVm({ vm: 'twin' });
    t.same(twin.spec?.memory, origin.spec?.memory);
    t.match(twin.spec?.disks, [{ name: 'root', image: '' }], 'it stands on no image');
    t.not(twin.spec?.nics?.[0]?.mac, origin.spec?.nics?.[0]?.mac);
    const memory = { sizeBytes: 2 ** 30 };
    const large = await rig.finished(await vms.createVm({ name: 'large', fromSnapshot, spec: { memory } }));
    t.equal(large.state, OperationState.SUCCEEDED, large.error?.message ?? '');
    t.equal((await vms.getVm({ vm: 'large' })).spec?.memory?.sizeBytes, 2 ** 30);
    const wrong: readonly [object, { code: string; field: string }][] = [
      [{ fromSnapshot: { vm: 'web1', snapshot: 'nosuch' } }, { code: 'NOT_FOUND', field: 'from_snapshot.snapshot' }],
      [{ fromSnapshot: { vm: 'nosuch', snapshot: 'plain' } }, { code: 'NOT_FOUND', field: 'from_snapshot.vm' }],
      [{ fromSnapshot: { vm: 'web1' } }, { code: 'INVALID_FIELD', field: 'from_snapshot.snapshot' }],
      [
        { fromSnapshot, spec: { disks: [{ name: 'x' }] } },
        { code: 'INVALID_FIELD', field: 'spec.disks' },
      ],
    ];
    for (const [request, refusal] of wrong)
      await t.rejects(vms.createVm({ name: 'never', ...request }), refusal, JSON.stringify(request));
  },
);
