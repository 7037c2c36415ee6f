import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { operationService, vmService } from '../../proto/services.js';
import { startCluster } from './cluster.js';

const { OperationState } = ostler.v1;

/** Two people, one VM; one person, the same request twice. */
const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const vms = cluster.client(vmService);
const operations = cluster.client(operationService);
const spec = {
  memory: { sizeBytes: 128 * 1024 * 1024 },
  disks: [{ name: 'root', image: 'guest' }],
  nics: [{ name: 'nic0' }],
};
const finish = async (operation: ostler.v1.Operation): Promise<ostler.v1.Operation> =>
  operations.waitOperation({ operation: operation.id, timeoutMs: 60_000 }, { timeoutMs: 70_000 });

void t.test('the same request_id twice makes one VM', async (t) => {
  const request = { name: 'twice', spec, start: false, requestId: 'a-request' };
  const [first, second] = await Promise.all([vms.createVm(request), vms.createVm(request)]);
  t.equal(first.id, second.id, 'at the same time');
  t.equal((await finish(first)).state, OperationState.SUCCEEDED);
  t.equal((await vms.createVm(request)).id, first.id, 'and afterwards');
  const { vms: all } = await vms.listVms({});
  t.equal(all.filter((vm) => vm.name === 'twice').length, 1);
  await t.rejects(vms.createVm({ ...request, name: 'other' }), { code: 'REQUEST_ID_REUSED' });
});

void t.test('two mutations at once: one wins, the other is told which operation runs', async (t) => {
  const attempts = await Promise.allSettled([
    vms.startVm({ vm: 'twice' }),
    vms.deleteVm({ vm: 'twice', expunge: true }),
  ]);
  const won = attempts.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []));
  const lost = attempts.flatMap((one) => (one.status === 'rejected' ? [one.reason as object] : []));
  t.equal(won.length, 1);
  t.match(lost[0], { code: 'OPERATION_RUNNING', metadata: { operation: won[0]?.id } });
  t.equal((await finish(won[0]!)).state, OperationState.SUCCEEDED);
});

void t.test('a stale etag is refused', async (t) => {
  const created = await finish(await vms.createVm({ name: 'tagged', spec, start: false }));
  const { etag } = await vms.getVm({ vm: 'tagged' });
  await vms.updateVm({ vm: 'tagged', values: { description: 'new' }, updateMask: { paths: ['description'] }, etag });
  t.equal((await vms.getVm({ vm: created.target })).description, 'new');
  await t.rejects(vms.startVm({ vm: 'tagged', etag }), { code: 'STALE_ETAG' });
});
