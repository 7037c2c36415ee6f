import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { operationService, vmService } from '../../proto/services.js';
import { startCluster } from './cluster.js';

/** Wrong input never becomes XML, a path or a command: it is refused naming the field, or carried through unharmed. */
const { OperationState } = ostler.v1;
const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const vms = cluster.client(vmService);
const operations = cluster.client(operationService);
const MIB = 1024 * 1024;

type Request = ostler.v1.CreateVmRequest.$Properties;
const base = (): Request & { spec: ostler.v1.VmSpec.$Properties } => ({
  name: 'good',
  start: false,
  spec: { memory: { sizeBytes: 128 * MIB }, disks: [{ name: 'root', image: 'guest' }], nics: [{ name: 'nic0' }] },
});
const withSpec = (spec: ostler.v1.VmSpec.$Properties): Request => ({ ...base(), spec: { ...base().spec, ...spec } });
const disk = (changes: ostler.v1.Disk.$Properties): Request =>
  withSpec({ disks: [{ name: 'root', image: 'guest', ...changes }] });
const nic = (changes: ostler.v1.Nic.$Properties): Request => withSpec({ nics: [{ name: 'nic0', ...changes }] });
const seed = (cloudInit: ostler.v1.CloudInit.$Properties): Request =>
  withSpec({ cloudInit: { enabled: true, ...cloudInit } });

const REFUSED: readonly (readonly [string, string, Request])[] = [
  ['V-11', 'name', { ...base(), name: 'a_b' }],
  ['V-11', 'name', { ...base(), name: '../../etc/passwd' }],
  ['V-11', 'name', { ...base(), name: "x'; rm -rf /; '" }],
  ['V-11', 'name', { ...base(), name: '웹서버' }],
  ['V-11', 'name', { ...base(), name: '-leading' }],
  ['V-11', 'name', { ...base(), name: 'a'.repeat(64) }],
  ['V-11', 'name', { ...base(), name: 'a\u0000b' }],
  ['M-002', 'display_name', { ...base(), displayName: 'a\u0000b' }],
  ['M-002', 'display_name', { ...base(), displayName: 'a\u0007b' }],
  ['M-002', 'display_name', { ...base(), displayName: 'x'.repeat(129) }],
  ['', 'description', { ...base(), description: 'a\u0000b' }],
  ['', 'labels.a b', { ...base(), labels: { 'a b': 'c' } }],
  ['', 'spec.disks[0].name', disk({ name: '../x' })],
  ['', 'spec.disks[0].image', disk({ image: '../../etc/shadow' })],
  ['', 'spec.disks[0].pool', disk({ pool: '../../tmp' })],
  ['', 'spec.disks[0].size_bytes', disk({ sizeBytes: 513 })],
  ['', 'spec.disks[0].size_bytes', disk({ sizeBytes: Number.MAX_SAFE_INTEGER })],
  ['', 'spec.disks[0].size_bytes', disk({ sizeBytes: MIB })],
  ['C-063', 'spec.nics', withSpec({ nics: [] })],
  ['', 'spec.nics[0].bridge', nic({ bridge: 'br0;reboot' })],
  ['', 'spec.nics[0].mac', nic({ mac: "52:54:00:00:00:01'/><evil/>" })],
  ['', 'spec.nics[0].mac', nic({ mac: '01:00:5e:00:00:01' })],
  ['V-14', 'spec.cpu.model', withSpec({ cpu: { vcpus: 1, model: '<evil/>' } })],
  ['C-059', 'spec.cpu.max_vcpus', withSpec({ cpu: { vcpus: 4, maxVcpus: 2 } })],
  ['V-13', 'spec.cpu.sockets', withSpec({ cpu: { vcpus: 4, sockets: 3, cores: 1, threads: 1 } })],
  ['', 'spec.memory.size_bytes', withSpec({ memory: { sizeBytes: 128 * MIB + 1 } })],
  ['', 'spec.memory.size_bytes', withSpec({ memory: { sizeBytes: MIB } })],
  ['C-086', 'spec.cloud_init.user', seed({ user: 'Root' })],
  ['C-086', 'spec.cloud_init.user', seed({ user: 'a;b' })],
  ['M-149', 'spec.cloud_init.ssh_keys[0]', seed({ sshKeys: ['ssh-ed25519 AAAA\nruncmd: [reboot]'] })],
  ['M-151', 'spec.cloud_init.user_data', seed({ userData: '#cloud-config\n' + 'x'.repeat(32 * 1024) })],
  ['C-088', 'spec.cloud_init.scripts[0].name', seed({ scripts: [{ name: '../../x', order: 1, content: 'x' }] })],
];

void t.test('refused, naming the field; nothing is made', async (t) => {
  for (const [row, field, request] of REFUSED) {
    const outcome = await vms.createVm(request).then(
      () => ({ code: 'accepted', field: '' }),
      (error: unknown) => error as { code: string; field?: string },
    );
    const label = `${row} ${field} ${JSON.stringify(request.name)}`;
    t.match(outcome.code, /^(INVALID_FIELD|NOT_FOUND|NO_CAPACITY)$/, label);
    t.equal((outcome.field ?? '').replace(/\[.*\]$/, ''), field.replace(/\[0\]$/, ''), `${label}: the field`);
  }
  // Half of a surrogate pair is no UTF-8: such a message does not parse, so that no field can be named.
  await t.rejects(vms.createVm({ ...base(), displayName: 'a\ud800b' }), { code: 'INVALID_FIELD' });
  t.same((await vms.listVms({ showDeleted: true })).vms, []);
  t.same(await cluster.domains('h1'), []);
});

const CARRIED = [
  `<b>&amp;"quotes" 'single' ]]> <!-- --> </title>`,
  '한국어 이름 🙂 ‮right to left‬',
  '$(reboot) `id` ; | && %s %n ../.. \\',
  'é́ combining, full-width Ａ',
] as const;

void t.test('carried through unharmed, to libvirt and back', async (t) => {
  for (const [index, text] of CARRIED.entries()) {
    const request = { ...base(), name: `carried${index}`, displayName: text, description: `${text}\n\tsecond line` };
    const cloudInit = { enabled: true, userData: `#cloud-config\n# ${text}\n` };
    const operation = await vms.createVm({ ...request, spec: { ...request.spec, cloudInit } });
    const done = await operations.waitOperation({ operation: operation.id, timeoutMs: 30_000 });
    t.equal(done.state, OperationState.SUCCEEDED, done.error?.message ?? text);
    const vm = await vms.getVm({ vm: request.name });
    t.equal(vm.displayName, text);
    t.equal(vm.description, request.description);
    t.equal((await vms.getVmUserData({ vm: vm.id })).userData, cloudInit.userData, 'M-151');
    const { stdout } = await cluster.lab.exec('h1', ['virsh', '-q', 'desc', vm.id, '--title']);
    t.equal(stdout.trim(), text.trim());
    const start = await vms.startVm({ vm: vm.id });
    const started = await operations.waitOperation({ operation: start.id, timeoutMs: 30_000 });
    t.equal(started.state, OperationState.SUCCEEDED, 'QEMU takes it');
    const expunge = await vms.deleteVm({ vm: vm.id, expunge: true, force: true });
    await operations.waitOperation({ operation: expunge.id, timeoutMs: 30_000 });
  }
});
