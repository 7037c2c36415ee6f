import t from 'tap';
import { lifecycleRig } from './lifecycle-rig.js';
import { eventually } from './eventually.js';
import { adminService, operationService, vmService } from '../../proto/services.js';
import { ostler } from '../../proto/gen/ostler.js';
import type { VmJson } from './vm-view.js';

/** Who may do what to which VM: another system's, a protected one, a deleted one; and what a deletion leaves. */
const RETENTION_S = 20;
const rig = await lifecycleRig({ retentionSeconds: RETENTION_S });
t.teardown(() => rig.down());
const { ok, show, refusal, virsh } = rig;
const { cluster } = rig;
const MIB = 1024 * 1024;
const spec = { memory: { sizeBytes: 128 * MIB }, disks: [{ name: 'root', image: 'guest' }], nics: [{ name: 'nic0' }] };

void t.test('what another system made, that system looks after', async (t) => {
  const made = await cluster.client(adminService).createApiToken({ name: 'scaler', role: ostler.v1.Role.OPERATOR });
  const scaler = cluster.client(vmService, made.token);
  const operations = cluster.client(operationService, made.token);
  const done = async (operation: ostler.v1.Operation.$Properties): Promise<void> => {
    const ended = await operations.waitOperation(
      { operation: operation.id ?? '', timeoutMs: 60_000 },
      { timeoutMs: 70_000 },
    );
    t.equal(ended.state, ostler.v1.OperationState.SUCCEEDED, ended.error?.message ?? ended.kind);
  };
  await done(await scaler.createVm({ name: 'group-1', createdBy: 'scaler', spec, start: false }));
  t.match(await ok('vm', 'show', 'group-1'), /Made by: +scaler/, 'C-005');
  const who = /^4: .*managed by scaler/s;
  t.match(await refusal('start', 'group-1'), who, 'C-016, C-021');
  t.match(await refusal('vm', 'delete', 'group-1', '--yes'), who, 'C-014, C-015, C-021');
  t.match(await refusal('vm', 'delete', 'group-1', '--expunge', '--force', '--yes'), who, 'C-015: not by force either');
  t.match(await refusal('vm', 'set', 'group-1', '--display-name', 'mine'), who, 'C-013, C-021');
  t.match(await refusal('vm', 'rebuild-disk', 'group-1', '--yes'), who, 'C-021');
  await done(await scaler.startVm({ vm: 'group-1' }));
  t.match(await refusal('stop', 'group-1', '--force', '--yes'), who, 'C-017, C-021');
  t.match(await refusal('reboot', 'group-1', '--yes'), who, 'C-018, C-021');
  t.match(await refusal('vm', 'pause', 'group-1'), who, 'C-021');
  t.match(await refusal('vm', 'suspend', 'group-1'), who, 'C-021');
  t.equal((await show('group-1')).state, 'RUNNING', 'nothing of it was done');
  await done(await scaler.deleteVm({ vm: 'group-1', expunge: true, force: true }));
});

void t.test('delete protection holds until it is taken away', async (t) => {
  await ok('vm', 'create', 'db1', '--image', 'guest', '--memory', '128MiB', '--no-start', '--delete-protection');
  const why = /^4: .*protected from deletion.*--delete-protection off/s;
  t.match(await refusal('vm', 'delete', 'db1', '--yes'), why);
  t.match(await refusal('vm', 'delete', 'db1', '--expunge', '--force', '--yes'), why);
  t.match(await ok('vm', 'show', 'db1'), /delete protection/i);
  await ok('vm', 'set', 'db1', '--delete-protection', 'off');
  t.equal((await show('db1')).state, 'CREATED', 'C-013: a stopped VM can be edited');
});

void t.test('autostart is libvirt’s own, and a deleted VM has none', async (t) => {
  const { id } = await show('db1');
  await ok('vm', 'set', 'db1', '--autostart', 'on');
  t.match(await virsh('dominfo', id), /Autostart: +enable/);
  await ok('vm', 'delete', 'db1', '--yes');
  t.match(await virsh('dominfo', id), /Autostart: +disable/);
  await ok('vm', 'undelete', 'db1');
  t.match(await virsh('dominfo', id), /Autostart: +enable/, 'M-021: it is back as it was');
});

void t.test('a running VM is deleted: stopped first, hidden, recoverable, and purged at its time', async (t) => {
  const before = await show('db1');
  await ok('start', 'db1');
  await ok('vm', 'delete', 'db1', '--force', '--yes');
  const deleted = await show(before.id);
  t.equal(deleted.state, 'DESTROYED', 'M-019: a running VM is stopped first');
  const listed = async (...flags: string[]): Promise<string[]> =>
    (await cluster.json<VmJson[]>(['vm', 'list', ...flags])).map((vm) => vm.id);
  t.notOk((await listed()).includes(before.id), 'M-021: not in the list');
  t.ok((await listed('--show-deleted')).includes(before.id), 'M-021: seen by who asks for it');
  t.match(await refusal('start', before.id), /^4: .*undelete/s, 'C-016');
  t.ok(
    (await cluster.poolFiles('h1')).some((file) => file.includes(before.id)),
    'M-021: its disks are there',
  );
  await ok('vm', 'undelete', before.id);
  t.equal((await show('db1')).state, 'STOPPED', 'M-021: recovered');
  await ok('vm', 'delete', 'db1', '--yes');
  const gone = await rig.state(before.id, 'EXPUNGED', RETENTION_S + 40);
  t.equal(gone.state, 'EXPUNGED', 'M-022: the retention bounds the time to the physical removal');
  t.match(await refusal('vm', 'undelete', before.id), /^4: /, 'M-023: not recoverable');
  t.notOk(
    (await cluster.poolFiles('h1')).some((file) => file.includes(before.id)),
    'M-023: no file is left',
  );
  t.same(await cluster.domains('h1'), [], 'M-023: no domain is left');
});

void t.test('what an expunged VM held is free again: name, MAC address, files of all its disks', async (t) => {
  const disks = ['--disk', 'name=data1,size=16MiB', '--disk', 'name=data2,size=16MiB,bus=scsi'];
  const nic = ['--nic', 'mac=52:54:00:aa:bb:01'];
  const create = ['vm', 'create', 'app1', '--image', 'guest', '--memory', '128MiB', '--no-start', ...disks, ...nic];
  await ok(...create);
  const { id } = await show('app1');
  t.equal((await cluster.poolFiles('h1')).filter((file) => file.includes(id)).length, 4, 'three disks and a seed');
  t.match(
    await refusal('vm', 'create', 'app2', '--image', 'guest', '--memory', '128MiB', '--no-start', ...nic),
    /belongs to app1/,
  );
  await ok('vm', 'delete', 'app1', '--expunge', '--yes');
  await eventually('no file', 10, async () => {
    const left = (await cluster.poolFiles('h1')).filter((file) => file.includes(id));
    if (left.length > 0) throw new Error(left.join(' '));
  });
  t.pass('M-020: expunged at once, with its data disks');
  await ok(...create);
  t.not((await show('app1')).id, id, 'M-023: its name and MAC address are free again');
});
