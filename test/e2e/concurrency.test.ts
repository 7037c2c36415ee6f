import { Client, credentials, Metadata, status, type ServiceError } from '@grpc/grpc-js';
import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import type { OstlerError } from '../../proto/kit/errors.js';
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

/** Two mutations that the VM's state allows, sent side by side. */
const PAIRS = [
  {
    what: 'start, rename',
    first: () => vms.startVm({ vm: 'twice' }),
    second: () => vms.updateVm({ vm: 'twice', values: { description: 'new' }, updateMask: { paths: ['description'] } }),
  },
  {
    what: 'stop, reboot',
    first: () => vms.stopVm({ vm: 'twice', force: true }),
    second: () => vms.rebootVm({ vm: 'twice', force: true }),
  },
  {
    what: 'start, delete',
    first: () => vms.startVm({ vm: 'twice' }),
    second: () => vms.deleteVm({ vm: 'twice', expunge: true, force: true }),
  },
] as const;

void t.test('two mutations at once: one wins, the other is told which operation runs', async (t) => {
  for (const { what, first, second } of PAIRS) {
    const attempts = await Promise.allSettled<object>([first(), second()]);
    const lost = attempts.flatMap((one) => (one.status === 'rejected' ? [one.reason as OstlerError] : []));
    t.equal(lost.length, 1, `${what}: one loses`);
    t.equal(lost[0]?.code, 'OPERATION_RUNNING', lost[0]?.message ?? what);
    const id = lost[0]?.metadata['operation'] ?? '';
    const winner = await finish(await operations.getOperation({ operation: id }));
    t.equal(winner.targetName, 'twice', `${what}: the other one is named`);
    t.equal(winner.state, OperationState.SUCCEEDED, winner.error?.message ?? `${winner.kind} wins`);
    if (winner.kind === 'vm.expunge') return;
    // The next pair wants it running after a start, stopped after a stop, whoever won.
    if (what === 'start, rename' && winner.kind !== 'vm.start') await finish(await vms.startVm({ vm: 'twice' }));
    if (what === 'stop, reboot' && winner.kind !== 'vm.stop')
      await finish(await vms.stopVm({ vm: 'twice', force: true }));
  }
});

void t.test('a stale etag is refused', async (t) => {
  const created = await finish(await vms.createVm({ name: 'tagged', spec, start: false }));
  const { etag } = await vms.getVm({ vm: 'tagged' });
  const updateMask = { paths: ['description'] };
  await finish(await vms.updateVm({ vm: 'tagged', values: { description: 'new' }, updateMask, etag }));
  t.equal((await vms.getVm({ vm: created.target })).description, 'new');
  await t.rejects(vms.startVm({ vm: 'tagged', etag }), { code: 'STALE_ETAG' });
  await t.rejects(vms.deleteVm({ vm: 'tagged', etag }), { code: 'STALE_ETAG' });
});

void t.test('both refusals are ABORTED for any gRPC client', async (t) => {
  const raw = new Client(cluster.apiAddress, credentials.createSsl(cluster.caPem));
  t.teardown(() => raw.close());
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${cluster.token}`);
  const start = (request: ostler.v1.StartVmRequest.$Properties): Promise<number | undefined> =>
    new Promise((resolve) => {
      raw.makeUnaryRequest(
        '/ostler.v1.VmService/StartVm',
        (message: ostler.v1.StartVmRequest.$Properties) =>
          Buffer.from(ostler.v1.StartVmRequest.encode(message).finish()),
        (bytes: Buffer) => bytes,
        request,
        metadata,
        (error: ServiceError | null) => resolve(error?.code),
      );
    });
  t.equal(await start({ vm: 'tagged', etag: 'stale' }), status.ABORTED, 'a stale etag');
  const codes = await Promise.all([start({ vm: 'tagged' }), start({ vm: 'tagged' })]);
  t.same(codes.sort(), [status.ABORTED, undefined], 'a running operation');
});
