import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { eventService, imageService, operationService, vmService } from '../../proto/services.js';
import { blankVm, MIB, runningVm, startRig } from './rig.js';

const { VmState, OperationState, DiskBus, NicModel, DiskDevice, OsType, ImageFormat, TimeoutAction } = ostler.v1;

const rig = await startRig({ hosts: 2 });
t.teardown(() => rig.close());
const vms = rig.client(vmService);

void t.test('M-001 M-002 M-003: the id is made by the system; both names default to it', async (t) => {
  const { spec } = blankVm('');
  const operation = await rig.finished(await vms.createVm({ spec: spec ?? null }));
  t.equal(operation.state, OperationState.SUCCEEDED, operation.error?.message ?? '');
  const vm = await vms.getVm({ vm: operation.target });
  t.match(vm.id, /^i-[0-9a-z]{10}$/);
  t.equal(vm.name, vm.id);
  t.equal(vm.displayName, vm.id);
  t.equal(vm.state, VmState.CREATED);
  t.equal(vm.createdBy, 'manual');
  t.match(vm.host, /^h\d$/);
  t.ok(vm.etag);
  const named = await rig.finished(await vms.createVm({ ...blankVm('named'), displayName: '웹 서버 1' }));
  const shown = await vms.getVm({ vm: 'named' });
  t.equal(shown.id, named.target);
  t.equal(shown.displayName, '웹 서버 1');
  for (const ref of [shown.id, shown.uuid, 'named', 'NAMED', shown.uuid.toUpperCase()])
    t.equal((await vms.getVm({ vm: ref })).id, shown.id, ref);
});

void t.test('V-11: a name that breaks the rules is refused naming the field; C-091: nothing is made', async (t) => {
  const before = (await vms.listVms({ showDeleted: true })).totalSize;
  for (const name of ['a_b', '-a', 'a-', 'a b', '웹', 'a.b', 'x'.repeat(64), 'i-0123456789', '../x'])
    await t.rejects(vms.createVm(blankVm(name)), { code: 'INVALID_FIELD', field: 'name' }, name);
  await t.rejects(vms.createVm({ ...blankVm('ok1'), displayName: 'a\u0007' }), {
    code: 'INVALID_FIELD',
    field: 'display_name',
  });
  await t.rejects(vms.createVm({ name: 'ok1' }), { code: 'INVALID_FIELD', field: 'spec' });
  await t.rejects(vms.createVm(blankVm('ok1', { nics: [] })), { code: 'INVALID_FIELD', field: 'spec.nics' }); // C-063
  await t.rejects(vms.createVm(blankVm('ok1', { disks: [] })), { code: 'INVALID_FIELD', field: 'spec.disks' });
  await t.rejects(
    vms.createVm(blankVm('ok1', { disks: [{ sizeBytes: MIB }, { sizeBytes: 100 }] })),
    { code: 'INVALID_FIELD', field: 'spec.disks[1].size_bytes' },
    'the index of the disk at fault',
  );
  await t.rejects(vms.createVm(blankVm('ok1', { disks: [{ sizeBytes: MIB, bus: 99 as never }] })), {
    code: 'INVALID_FIELD',
    field: 'spec.disks[0].bus',
  });
  await t.rejects(vms.createVm(blankVm('ok1', { disks: [{ image: 'nowhere' }] })), {
    code: 'NOT_FOUND',
    field: 'spec.disks[0].image',
  });
  await t.rejects(vms.createVm(blankVm('ok1', { placement: { host: 'nowhere' } })), {
    code: 'NOT_FOUND',
    field: 'spec.placement.host',
  });
  await t.rejects(vms.createVm(blankVm('ok1', { bootOrder: ['root', 'root'] })), {
    code: 'INVALID_FIELD',
    field: 'spec.boot_order',
  });
  await t.rejects(vms.createVm(blankVm('ok1', { cloudInit: { sshKeys: ['ssh-ed25519 AAAA'] } })), {
    code: 'INVALID_FIELD',
    field: 'spec.cloud_init.enabled',
  });
  await t.rejects(vms.createVm(blankVm('ok1', { cloudInit: { enabled: true, networkConfig: 'a: [' } })), {
    code: 'INVALID_FIELD',
    field: 'spec.cloud_init.network_config',
  });
  t.equal((await vms.listVms({ showDeleted: true })).totalSize, before);
});

void t.test('V-12 V-16 V-17 V-18: drivers by OS type, several disks and NICs, an ISO becomes a CD-ROM', async (t) => {
  const iso = Buffer.alloc(40 * 1024);
  iso.write('CD001', 16 * 2048 + 1);
  await rig.anImage('disk-image');
  const images = rig.client(imageService);
  const { sha256, chunksOf } = await import('./rig.js');
  const made = await images.createImage({
    name: 'install-iso',
    format: ImageFormat.ISO,
    fileBytes: iso.length,
    sha256: sha256(iso),
  });
  await images.uploadImage(chunksOf(made.id, iso));
  const disks = [{ image: 'disk-image' }, { sizeBytes: MIB }, { image: 'install-iso' }];
  const create = async (name: string, osType: ostler.v1.OsType): Promise<ostler.v1.VmSpec.$Properties> => {
    const operation = await vms.createVm(blankVm(name, { disks, osType, nics: [{ bridge: 'br0' }, { mtu: 1400 }] }));
    t.equal((await rig.finished(operation)).state, OperationState.SUCCEEDED);
    return (await vms.getVm({ vm: name })).spec ?? {};
  };
  const linux = await create('linux1', OsType.LINUX);
  t.same(
    linux.disks?.map(({ name, bus, device, sizeBytes }) => ({ name, bus, device, sizeBytes })),
    [
      { name: 'root', bus: DiskBus.VIRTIO, device: DiskDevice.DISK, sizeBytes: MIB },
      { name: 'disk0', bus: DiskBus.VIRTIO, device: DiskDevice.DISK, sizeBytes: MIB },
      { name: 'cdrom0', bus: DiskBus.SATA, device: DiskDevice.CDROM, sizeBytes: 0 },
    ],
  );
  t.same(
    linux.nics?.map(({ name, model, bridge, mtu }) => ({ name, model, bridge, mtu })),
    [
      { name: 'nic0', model: NicModel.NIC_VIRTIO, bridge: 'br0', mtu: 0 },
      { name: 'nic1', model: NicModel.NIC_VIRTIO, bridge: '', mtu: 1400 },
    ],
  );
  t.same(linux.bootOrder, ['root', 'cdrom0', 'disk0', 'nic0', 'nic1']);
  for (const nic of linux.nics ?? []) t.match(nic.mac, /^52:54:00(:[0-9a-f]{2}){3}$/);
  t.not(linux.nics?.[0]?.mac, linux.nics?.[1]?.mac);
  const windows = await create('windows1', OsType.WINDOWS);
  t.same(
    windows.disks?.map(({ bus }) => bus),
    [DiskBus.SATA, DiskBus.SATA, DiskBus.SATA],
  );
  t.same(
    windows.nics?.map(({ model }) => model),
    [NicModel.E1000E, NicModel.E1000E],
  );
  const wrong = async (field: string, disk: ostler.v1.Disk.$Properties): Promise<void> => {
    await t.rejects(vms.createVm(blankVm('ok2', { disks: [disk] })), { code: 'INVALID_FIELD', field });
  };
  await wrong('spec.disks[0].image', { image: 'install-iso', device: DiskDevice.DISK });
  await wrong('spec.disks[0].image', { image: 'disk-image', device: DiskDevice.CDROM });
  await wrong('spec.disks[0].size_bytes', { image: 'install-iso', sizeBytes: MIB });
  await wrong('spec.disks[0].size_bytes', { image: 'disk-image', sizeBytes: 512 });
  await wrong('spec.disks[0].bus', { image: 'install-iso', bus: DiskBus.VIRTIO });
  const mac = linux.nics?.[0]?.mac ?? '';
  await t.rejects(vms.createVm(blankVm('ok2', { nics: [{ mac: mac.toUpperCase() }] })), {
    code: 'ALREADY_EXISTS',
    field: 'spec.nics[0].mac',
  });
});

void t.test('M-031: what an image says of its system counts where whoever makes a VM says nothing', async (t) => {
  const { Firmware } = ostler.v1;
  const defaults = { diskBus: DiskBus.SCSI, nicModel: NicModel.E1000E, firmware: Firmware.UEFI };
  const image = await rig.anImage('appliance', { defaults });
  t.match(image.defaults, defaults);
  const specOf = async (name: string, spec: ostler.v1.VmSpec.$Properties): Promise<ostler.v1.VmSpec.$Properties> => {
    const disks = [{ image: 'appliance' }, { sizeBytes: MIB }];
    const operation = await vms.createVm(blankVm(name, { disks, nics: [{ bridge: 'br0' }], ...spec }));
    t.equal((await rig.finished(operation)).state, OperationState.SUCCEEDED);
    return (await vms.getVm({ vm: name })).spec ?? {};
  };
  t.match(await specOf('appliance1', {}), {
    disks: [{ bus: DiskBus.SCSI }, { bus: DiskBus.SCSI }],
    nics: [{ model: NicModel.E1000E }],
    firmware: Firmware.UEFI,
  });
  const said = { nics: [{ bridge: 'br0', model: NicModel.NIC_VIRTIO }], firmware: Firmware.BIOS };
  t.match(await specOf('appliance2', said), { disks: [{ bus: DiskBus.SCSI }], ...said }, 'what is said, counts');
  await t.rejects(rig.anImage('other', { defaults: { diskBus: 77 as never } }), {
    code: 'INVALID_FIELD',
    field: 'defaults.disk_bus',
  });
});

void t.test('V-13 V-14: topology and CPU type', async (t) => {
  const create = async (name: string, cpu: ostler.v1.Cpu.$Properties): Promise<unknown> => {
    await rig.finished(await vms.createVm(blankVm(name, { cpu })));
    return { ...(await vms.getVm({ vm: name })).spec?.cpu };
  };
  t.match(await create('cpu1', {}), { vcpus: 1, maxVcpus: 1, sockets: 1, cores: 1, threads: 1 });
  t.match(await create('cpu2', { sockets: 2, cores: 2, model: 'x86-64-v2-AES' }), {
    vcpus: 4,
    maxVcpus: 4,
    sockets: 2,
    cores: 2,
    model: 'x86-64-v2-AES',
  });
  t.match(await create('cpu3', { vcpus: 2, maxVcpus: 4 }), { vcpus: 2, maxVcpus: 4, sockets: 1, cores: 4 });
  t.match(await create('cpu4', { vcpus: 2, sockets: 2, cores: 2 }), { vcpus: 2, maxVcpus: 4 });
  t.match(await create('cpu5', { vcpus: 8, cores: 2, threads: 2 }), { sockets: 2, cores: 2, threads: 2 });
  for (const [field, cpu] of [
    ['spec.cpu.sockets', { vcpus: 3, sockets: 2 }],
    ['spec.cpu.sockets', { vcpus: 4, sockets: 3, cores: 1, threads: 1 }],
    ['spec.cpu.max_vcpus', { vcpus: 4, maxVcpus: 2 }],
    ['spec.cpu.vcpus', { vcpus: 1000, maxVcpus: 1000 }],
    ['spec.cpu.model', { model: '<x/>' }],
  ] as const)
    await t.rejects(vms.createVm(blankVm('ok3', { cpu })), { code: 'INVALID_FIELD', field });
});

void t.test('C-085 C-086 C-090 M-151: the account; a password is hashed at once and never comes back', async (t) => {
  const cloudInit = {
    enabled: true,
    password: 'correct horse',
    userData: '#cloud-config\npackages: [htop]\n',
    scripts: [{ name: 'a.sh', order: 1, content: '#!/bin/sh\n' }],
  };
  const operation = await vms.createVm(blankVm('seeded', { cloudInit }));
  await rig.finished(operation);
  const vm = await vms.getVm({ vm: 'seeded' });
  t.equal(vm.spec?.cloudInit?.user, 'ostler');
  t.equal(vm.spec?.cloudInit?.password, '');
  t.equal(vm.spec?.cloudInit?.passwordHash, '********');
  t.equal(vm.spec?.cloudInit?.userData, '');
  t.equal(vm.spec?.cloudInit?.scripts?.[0]?.stage, ostler.v1.ScriptStage.BOOT);
  t.equal((await vms.getVmUserData({ vm: 'seeded' })).userData, cloudInit.userData);
  const stored = JSON.stringify([...rig.deps.store.list('vm'), ...rig.deps.store.list('operation')]);
  t.notMatch(stored, 'correct horse', 'the store has no plain password');
  t.match(rig.deps.store.get('vm', vm.id)?.value.record.spec.cloudInit.passwordHash, /^\$6\$/);
  const bad = (change: ostler.v1.CloudInit.$Properties): Promise<unknown> =>
    vms.createVm(blankVm('ok4', { cloudInit: { enabled: true, ...change } }));
  await t.rejects(bad({ password: 'a\nb' }), { code: 'INVALID_FIELD', field: 'spec.cloud_init.password' });
  await t.rejects(bad({ password: 'a', passwordHash: '$6$salt$0123456789' }), {
    code: 'INVALID_FIELD',
    field: 'spec.cloud_init.password',
  });
  await t.rejects(bad({ passwordHash: 'plain' }), { code: 'INVALID_FIELD', field: 'spec.cloud_init.password_hash' });
  await t.rejects(bad({ user: 'Root' }), { code: 'INVALID_FIELD', field: 'spec.cloud_init.user' });
  await t.rejects(bad({ userData: 'x'.repeat(32 * 1024 + 1) }), {
    code: 'INVALID_FIELD',
    field: 'spec.cloud_init.user_data',
  });
});

void t.test('the same request_id twice makes one VM', async (t) => {
  const request = { ...blankVm('once'), requestId: 'r-1' };
  const first = await vms.createVm(request);
  await rig.finished(first);
  const again = await vms.createVm(request);
  t.equal(again.id, first.id);
  t.equal(again.target, first.target);
  t.equal((await vms.listVms({ filter: 'name=once' })).totalSize, 1);
  await t.rejects(vms.createVm({ ...request, description: 'x' }), { code: 'REQUEST_ID_REUSED', field: 'request_id' });
  await t.rejects(vms.createVm(blankVm('ONCE')), { code: 'ALREADY_EXISTS', field: 'name' });
  await t.rejects(vms.createVm({ ...blankVm('x'), requestId: 'a b' }), { code: 'INVALID_FIELD', field: 'request_id' });
  const both = await Promise.all([
    vms.createVm({ ...blankVm('twin'), requestId: 'r-2' }),
    vms.createVm({ ...blankVm('twin'), requestId: 'r-2' }),
  ]);
  t.equal(both[0].id, both[1].id, 'also at the same moment');
});

void t.test(
  'two mutations at once: one wins, the other is ABORTED naming the operation; a stale etag too',
  async (t) => {
    const vm = await runningVm(rig, 'busy');
    rig.autoRun = false;
    const stop = await vms.stopVm({ vm: 'busy', force: true });
    await t.rejects(vms.rebootVm({ vm: 'busy' }), { code: 'OPERATION_RUNNING', metadata: { operation: stop.id } });
    t.equal((await vms.getVm({ vm: 'busy' })).state, VmState.STOPPING, 'C-124');
    rig.autoRun = true;
    await rig.finished(stop);
    await t.rejects(vms.startVm({ vm: 'busy', etag: vm.etag }), { code: 'STALE_ETAG', field: 'etag' });
    const { etag } = await vms.getVm({ vm: 'busy' });
    t.equal((await rig.finished(await vms.startVm({ vm: 'busy', etag }))).state, OperationState.SUCCEEDED);
    await t.rejects(vms.startVm({ vm: 'busy' }), { code: 'WRONG_STATE' }, 'C-122');
    await t.rejects(vms.stopVm({ vm: 'busy', timeoutSeconds: 4000 }), {
      code: 'INVALID_FIELD',
      field: 'timeout_seconds',
    });
    await t.rejects(vms.stopVm({ vm: 'busy', onTimeout: 9 as never }), { code: 'INVALID_FIELD', field: 'on_timeout' });
    const polite = await vms.stopVm({ vm: 'busy', timeoutSeconds: 5, onTimeout: TimeoutAction.FORCE_OFF });
    t.equal((await rig.finished(polite)).state, OperationState.SUCCEEDED, 'C-125');
  },
);

void t.test('validate_only stores nothing and tells the plan', async (t) => {
  const before = [...rig.deps.store.list('operation')].length;
  const plan = await vms.createVm({ ...blankVm('planned'), validateOnly: true });
  t.equal(plan.id, '');
  t.ok(plan.plan.length > 1, plan.plan.join('\n'));
  t.match(plan.placement?.host, /^h\d$/);
  const small = await vms.createVm({ ...blankVm('small', { memory: { sizeBytes: 128 * MIB } }), validateOnly: true });
  t.match(small.plan.join('\n'), /512 MiB/, 'V-15');
  await t.rejects(vms.getVm({ vm: 'planned' }), { code: 'NOT_FOUND', field: 'vm' });
  t.equal([...rig.deps.store.list('operation')].length, before);
});

void t.test('update: names, description and labels; delete and undelete', async (t) => {
  await rig.finished(await vms.createVm(blankVm('change-me')));
  const values = { displayName: '새 이름', labels: { tier: 'front' } };
  const paths = ['display_name', 'labels'];
  await rig.finished(await vms.updateVm({ vm: 'change-me', values, updateMask: { paths } }));
  const changed = await vms.getVm({ vm: 'change-me' });
  t.equal(changed.displayName, '새 이름');
  t.same({ ...changed.labels }, { tier: 'front' });
  await rig.finished(await vms.updateVm({ vm: 'change-me', values: { name: 'changed' } }));
  const only = await vms.updateVm({ vm: 'changed', values: { description: 'x' }, validateOnly: true });
  t.same(only.plan, ['Change description of changed.']);
  t.equal(only.id, '');
  t.equal((await vms.getVm({ vm: 'changed' })).description, '');
  for (const path of ['id', 'host', 'spec.nothing'])
    await t.rejects(vms.updateVm({ vm: 'changed', values, updateMask: { paths: [path] } }), {
      code: 'UNSUPPORTED',
      message: new RegExp(path),
    });
  await t.rejects(vms.updateVm({ vm: 'changed', values: { name: 'a_b' } }), {
    code: 'INVALID_FIELD',
    field: 'values.name',
  });
  await t.rejects(vms.updateVm({ vm: 'changed', values: {} }), { code: 'INVALID_FIELD', field: 'update_mask' });
  await t.rejects(vms.updateVm({ vm: 'changed', values: { labels: { 'a b': 'c' } } }), {
    code: 'INVALID_FIELD',
    field: 'values.labels.a b',
  });

  await rig.finished(await vms.deleteVm({ vm: 'changed' }));
  const gone = await vms.getVm({ vm: 'changed' });
  t.equal(gone.state, VmState.DESTROYED);
  t.ok((gone.purgeTime?.seconds ?? 0) > (gone.deleteTime?.seconds ?? 0));
  t.equal((await vms.listVms({ filter: 'name=changed' })).totalSize, 0);
  t.equal((await vms.listVms({ filter: 'name=changed', showDeleted: true })).totalSize, 1);
  t.equal((await vms.listVms({ filter: 'name=changed state=DESTROYED' })).totalSize, 1);
  t.equal((await vms.undeleteVm({ vm: 'changed' })).purgeTime, null);
  await rig.finished(await vms.deleteVm({ vm: 'changed', expunge: true }));
  t.equal((await vms.getVm({ vm: 'changed' })).state, VmState.EXPUNGED);
});

void t.test('lists: pages hold together while VMs come and go; filter and order', async (t) => {
  for (let n = 1; n <= 7; n += 1)
    await rig.finished(await vms.createVm({ ...blankVm(`page${n}`), labels: { group: n % 2 === 0 ? 'even' : 'odd' } }));
  const names: string[] = [];
  let pageToken = '';
  do {
    const page = await vms.listVms({ pageSize: 2, pageToken, filter: 'name:page' });
    names.push(...page.vms.map((vm) => vm.name ?? ''));
    pageToken = page.nextPageToken;
    // One that sorts before what was read already: it must not shift the rest.
    if (names.length === 4) await rig.finished(await vms.createVm(blankVm('page0')));
  } while (pageToken !== '');
  t.same(names, ['page1', 'page2', 'page3', 'page4', 'page5', 'page6', 'page7']);
  const list = async (filter: string, orderBy = ''): Promise<string[]> =>
    (await vms.listVms({ filter, orderBy })).vms.map((vm) => vm.name ?? '');
  t.same(await list('label.group=even', 'name desc'), ['page6', 'page4', 'page2']);
  t.same(await list('name:page label.group!=even label.group:od', 'create_time desc'), [
    'page7',
    'page5',
    'page3',
    'page1',
  ]);
  t.ok((await list('host=h1 state=CREATED')).length > 0);
  await t.rejects(list('colour=red'), { code: 'INVALID_FIELD', field: 'filter', message: /colour.*known/ });
  await t.rejects(list('', 'size'), { code: 'INVALID_FIELD', field: 'order_by' });
  await t.rejects(vms.listVms({ pageToken: 'nonsense' }), { code: 'BAD_TOKEN', field: 'page_token' });
  const first = await vms.listVms({ pageSize: 1 });
  await t.rejects(vms.listVms({ pageSize: 1, pageToken: first.nextPageToken, filter: 'name:page' }), {
    code: 'BAD_TOKEN',
  });
});

void t.test('live asks the host; a console needs a VM that runs (C-123)', async (t) => {
  const vm = await runningVm(rig, 'lively');
  const live = await vms.getVm({ vm: 'lively', live: true });
  t.match(live.live, { domainState: 'running', domainReason: 'booted', cpuTimeNs: 5 });
  const ticket = await vms.openConsole({ vm: 'lively', kind: ostler.v1.ConsoleKind.VNC });
  t.match(ticket.url, /^http:\/\/127\.0\.0\.1:7480\/vnc\.html\?vm=i-/);
  t.match(ticket.websocketUrl, /^ws:\/\/127\.0\.0\.1:7480\/console\?/);
  const serial = await vms.openConsole({ vm: vm.id, kind: ostler.v1.ConsoleKind.SERIAL });
  t.equal(serial.url, serial.websocketUrl);
  await t.rejects(vms.openConsole({ vm: 'lively' }), { code: 'INVALID_FIELD', field: 'kind' });
  await rig.finished(await vms.stopVm({ vm: 'lively', force: true }));
  await t.rejects(vms.openConsole({ vm: 'lively', kind: ostler.v1.ConsoleKind.VNC }), { code: 'WRONG_STATE' });
});

void t.test('every mutation is in the audit log, with its actor and outcome', async (t) => {
  const events = rig.client(eventService);
  const olga = rig.client(vmService, rig.tokens.operator);
  const { target } = await rig.finished(await olga.createVm(blankVm('audited')));
  await olga.startVm({ vm: 'nobody' }).catch(() => undefined);
  await rig
    .client(vmService, rig.tokens.viewer)
    .startVm({ vm: 'audited' })
    .catch(() => undefined);
  const listed = (await events.listEvents({ filter: 'kind:audit.vm actor!=root' })).events;
  t.match(
    listed.map(({ kind, target, actor, metadata }) => ({ kind, target, actor, outcome: metadata?.['outcome'] })),
    [
      { kind: 'audit.vm.start', target, actor: 'vic', outcome: 'PERMISSION_DENIED' },
      { kind: 'audit.vm.start', target: 'nobody', actor: 'olga', outcome: 'NOT_FOUND' },
      { kind: 'audit.vm.create', target, actor: 'olga', outcome: 'ok' },
    ],
  );
  t.equal((await events.listEvents({ filter: 'kind=audit.vm.create name=planned' })).events.length, 0);
});

void t.test('operations: list, get, cancel, wait', async (t) => {
  const operations = rig.client(operationService);
  rig.autoRun = false;
  const create = await vms.createVm(blankVm('cancelled'));
  const still = await operations.waitOperation({ operation: create.id, timeoutMs: 50 });
  t.equal(still.state, OperationState.OPERATION_RUNNING);
  t.equal((await operations.listOperations({ filter: 'state=OPERATION_RUNNING' })).operations[0]?.id, create.id);
  const waiting = operations.waitOperation({ operation: create.id, timeoutMs: 5000 });
  await operations.cancelOperation({ operation: create.id });
  rig.autoRun = true;
  t.equal((await waiting).state, OperationState.CANCELLED);
  t.equal((await operations.getOperation({ operation: create.id })).endTime !== null, true);
  await t.rejects(operations.getOperation({ operation: 'op-nothing' }), { code: 'NOT_FOUND', field: 'operation' });
  await t.rejects(operations.waitOperation({ operation: create.id, timeoutMs: 400_000 }), {
    code: 'INVALID_FIELD',
    field: 'timeout_ms',
  });
});
