import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { snapshotService, vmService } from '../../proto/services.js';
import { blankVm, MIB, runningVm, startRig } from './rig.js';
import { GIB } from '../store/documents.js';

const { ChangeTime, OperationState, VmState } = ostler.v1;
const rig = await startRig();
t.teardown(() => rig.close());
const vms = rig.client(vmService);
const update = (vm: string, spec: ostler.v1.VmSpec.$Properties, paths: string[], more = {}) =>
  vms.updateVm({ vm, values: { spec }, updateMask: { paths }, ...more });

void t.test('the agent plans, the operation does, the record follows', async (t) => {
  const vm = await runningVm(rig, 'plain');
  rig.recordPlan = {
    changes: [{ field: 'spec.cpu.vcpus', time: ChangeTime.NOW, sentence: 'Now: plug 1 vCPU in, 1 → 2.' }],
    refusals: [],
  };
  const dry = await update('plain', { cpu: { vcpus: 2 } }, ['spec.cpu.vcpus'], { validateOnly: true });
  t.same(dry.plan, ['Now: plug 1 vCPU in, 1 → 2.']);
  t.equal(dry.id, '');
  t.equal((await vms.getVm({ vm: 'plain' })).etag, vm.etag, 'nothing was stored');

  rig.autoRun = false;
  const operation = await update('plain', { cpu: { vcpus: 2 } }, ['cpu.vcpus']);
  t.equal((await vms.getVm({ vm: 'plain' })).state, VmState.UPDATING, 'C-121');
  await t.rejects(update('plain', { cpu: { vcpus: 2 } }, ['cpu.vcpus']), { code: 'OPERATION_RUNNING' });
  rig.autoRun = true;
  t.equal((await rig.finished(operation)).state, OperationState.SUCCEEDED);
  const after = await vms.getVm({ vm: 'plain', pending: true });
  t.same((await vms.getVm({ vm: 'plain', live: true })).pending, [], 'only when asked: a live read is to be quick');
  t.match(after, { state: VmState.RUNNING, spec: { cpu: { vcpus: 2, maxVcpus: 2 } } }, 'C-105, C-121');
  t.match(after.pending, [{ field: 'spec.cpu.vcpus', time: ChangeTime.NOW }], 'what is not in effect is told by field');
  rig.recordPlan = { changes: [], refusals: [] };
});

void t.test('a refusal is the answer, with field and remedy, and nothing is stored', async (t) => {
  const before = await vms.getVm({ vm: 'plain' });
  rig.recordPlan = {
    changes: [],
    refusals: [
      { code: 'WRONG_STATE', field: 'spec.cpu.vcpus', message: 'A running VM only gains vCPUs.', remedy: 'Stop it.' },
      { code: 'WRONG_STATE', field: 'spec.firmware', message: 'Not while it runs.' },
    ],
  };
  await t.rejects(update('plain', { cpu: { vcpus: 1 } }, ['spec.cpu.vcpus']), {
    code: 'WRONG_STATE', // C-111: FAILED_PRECONDITION
    field: 'spec.cpu.vcpus',
    remedy: 'Stop it.',
    metadata: { 'spec.firmware': 'Not while it runs.' },
  });
  rig.recordPlan = { changes: [], refusals: [] };
  t.same(await vms.getVm({ vm: 'plain' }), before);
});

void t.test('what the controller itself refuses', async (t) => {
  await rig.finished(await vms.createVm(blankVm('sized', { cpu: { vcpus: 1, maxVcpus: 4 } })));
  const refusals: [
    ostler.v1.VmSpec.$Properties,
    string[],
    { code: string; field?: string; message?: RegExp; remedy?: RegExp },
  ][] = [
    [{ cpu: { vcpus: 5 } }, ['spec.cpu.vcpus'], { code: 'WRONG_STATE', field: 'spec.cpu.vcpus', remedy: /max_vcpus/ }], // C-059, C-109
    [{ disks: [] }, ['spec.disks'], { code: 'WRONG_STATE', message: /boot disk root/ }], // C-103
    [{ nics: [] }, ['spec.nics'], { code: 'WRONG_STATE', message: /first NIC nic0/ }], // C-101
    [{ nics: [{ name: 'nic0' }, { name: 'nic0' }] }, ['spec.nics'], { code: 'INVALID_FIELD' }],
    [{ bootOrder: ['nothing'] }, ['spec.boot_order'], { code: 'INVALID_FIELD', field: 'spec.boot_order' }],
    [{ disks: [{ name: 'root' }, { name: 'x', image: 'none' }] }, ['spec.disks'], { code: 'NOT_FOUND' }],
  ];
  const before = await vms.getVm({ vm: 'sized' });
  for (const [spec, paths, error] of refusals) await t.rejects(update('sized', spec, paths), error, paths.join());
  const mac = (await vms.getVm({ vm: 'plain' })).spec?.nics?.[0]?.mac ?? '';
  await t.rejects(update('sized', { nics: [{ name: 'nic0' }, { name: 'nic1', mac }] }, ['spec.nics']), {
    code: 'ALREADY_EXISTS', // C-106
    message: /belongs to plain/,
  });
  t.same(await vms.getVm({ vm: 'sized' }), before);
});

void t.test('the whole spec carries its switches', async (t) => {
  await rig.finished(await vms.createVm(blankVm('whole', { tpm: true })));
  const read = async (): Promise<ostler.v1.VmSpec.$Properties> => (await vms.getVm({ vm: 'whole' })).spec ?? {};
  const whole = async (spec: ostler.v1.VmSpec.$Properties): Promise<unknown> =>
    (await rig.finished(await update('whole', spec, ['spec']))).state;
  const before = await read();
  const on = { ...before, autostart: true, deleteProtection: true, shutdownTimeoutSeconds: 7 };
  t.equal(await whole(on), OperationState.SUCCEEDED);
  t.same(await read(), on);
  await t.rejects(vms.deleteVm({ vm: 'whole' }), { code: 'WRONG_STATE', remedy: /delete-protection off/ });
  t.equal(await whole(before), OperationState.SUCCEEDED, 'what is read can be sent back, and is that');
  t.same(await read(), before);
  await rig.finished(await vms.updateVm({ vm: 'whole', values: { spec: { deleteProtection: true } } }));
  t.match(await read(), { deleteProtection: true, autostart: false, tpm: true }, 'without a mask: what is there');
  await t.rejects(update('whole', { ...before, resetRootAtReboot: true }, ['spec']), {
    code: 'UNSUPPORTED',
    field: 'values.spec.reset_root_at_reboot',
  });
  for (const path of ['spec.reset_root_at_reboot', 'spec.tpm'])
    await t.rejects(update('whole', {}, [path]), { code: 'UNSUPPORTED', field: 'update_mask' }, path);
});

void t.test('a suspended VM keeps its hardware', async (t) => {
  await runningVm(rig, 'asleep');
  await rig.finished(await vms.suspendVm({ vm: 'asleep' }));
  const before = await vms.getVm({ vm: 'asleep' });
  const refused = { code: 'WRONG_STATE', message: /saved memory/, remedy: /ostler vm resume/ };
  for (const path of ['spec.cpu.vcpus', 'spec.disks', 'spec'])
    await t.rejects(update('asleep', { ...before.spec, cpu: { vcpus: 2, maxVcpus: 2 } }, [path]), refused, path);
  await t.rejects(rig.client(snapshotService).createSnapshot({ vm: 'asleep' }), { code: 'WRONG_STATE' });
  t.same(await vms.getVm({ vm: 'asleep' }), before);
  const named = await vms.updateVm({ vm: 'asleep', values: { description: 'naps' } });
  t.equal((await rig.finished(named)).state, OperationState.SUCCEEDED, 'its description is no hardware');
});

void t.test('the host must have room for what the VM becomes', async (t) => {
  const big = 4000 * GIB;
  await t.rejects(update('plain', { memory: { sizeBytes: big } }, ['spec.memory.size_bytes']), {
    code: 'NO_CAPACITY', // M-048, M-052
    message: /plain cannot grow on h1, which has .* It is unchanged/,
  });
  const operation = await update('plain', { memory: { sizeBytes: 600 * MIB } }, ['spec.memory.size_bytes']);
  t.equal((await rig.finished(operation)).state, OperationState.SUCCEEDED);
  const host = rig.deps.view().host(rig.deps.store.get('vm', operation.target)?.value.hostId ?? '');
  t.equal(host?.allocated.memoryBytes, 600 * MIB, 'what it has become is counted');
});

void t.test('a change that somebody else made in between is not lost', async (t) => {
  const [a, b] = await Promise.all([
    update('sized', { shutdownTimeoutSeconds: 33 }, ['spec.shutdown_timeout_seconds']).then((one) => rig.finished(one)),
    vms.getVm({ vm: 'sized' }).then(async () => {
      for (;;) {
        try {
          return await rig.finished(await vms.updateVm({ vm: 'sized', values: { description: 'both' } }));
        } catch (error) {
          if ((error as { code?: string }).code !== 'OPERATION_RUNNING') throw error;
        }
      }
    }),
  ]);
  t.same([a.state, b.state], [OperationState.SUCCEEDED, OperationState.SUCCEEDED]);
  t.match(await vms.getVm({ vm: 'sized' }), { description: 'both', spec: { shutdownTimeoutSeconds: 33 } });
});
