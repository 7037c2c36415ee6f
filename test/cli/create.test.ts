import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ostler as wire } from '../../proto/gen/ostler.js';
import { startFake } from './fake-server.js';
import { ostler, temporaryDirectory } from './harness.js';

const { v1 } = wire;
const GIB = 1024 ** 3;
const KEY = 'ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIA== me@here';

void t.test('every flag of create arrives in its field', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const directory = temporaryDirectory(t);
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const { code, stdout, stderr } = await ostler(
    fake,
    [
      ...['vm', 'create', 'web1', '--image', 'debian-12', '--cpus', '2', '--max-cpus', '4', '--sockets', '1'],
      ...['--cores', '4', '--threads', '1', '--cpu-model', 'host-model', '--memory', '2GiB', '--max-memory', '4GiB'],
      ...['--disk-size', '20GiB', '--disk-bus', 'virtio', '--pool', 'fast', '--clone', 'full'],
      ...['--disk', 'name=data1,size=10GiB,bus=scsi,pool=p', '--disk', 'size=500MB'],
      ...['--nic', 'bridge=br0,mac=52:54:00:AA:bb:01,model=e1000e', '--nic', 'name=back,bridge=br1,mtu=9000'],
      ...['--user', 'kim', '--password-stdin', '--ssh-key', file('id.pub', `# mine\n${KEY}\n\n`)],
      ...['--user-data', file('ud', '#cloud-config\n'), '--network-config', file('nc', 'version: 2\n')],
      ...['--script', `${file('a.sh', 'echo a\n')},stage=pre-network,order=5`, '--script', file('b.sh', 'echo b\n')],
      ...['--display-name', '웹서버', '--description', '앞단', '--label', 'tier=front', '--label', 'env='],
      ...['--os', 'linux', '--firmware', 'uefi', '--host', 'h1', '--tag', 'ssd', '--tag', 'zone-a', '--no-start'],
      ...['--shutdown-timeout', '2m', '--force-after', '--boot-order', 'root,nic0'],
    ],
    { stdin: 'correct horse\nmore\n' },
  );
  t.equal(code, 0, stderr);
  t.match(stdout, /^web1 is created on h1/);
  t.notMatch(stdout + stderr, /correct horse/);
  const request = fake.requestOf('createVm') as wire.v1.CreateVmRequest;
  t.equal(request.name, 'web1');
  t.equal(request.displayName, '웹서버');
  t.equal(request.start, false); // M-008
  t.same(request.labels, { tier: 'front', env: '' });
  t.match(request.spec, {
    cpu: { vcpus: 2, maxVcpus: 4, sockets: 1, cores: 4, threads: 1, model: 'host-model' },
    memory: { sizeBytes: 2 * GIB, maxSizeBytes: 4 * GIB },
    disks: [
      {
        name: 'root',
        image: 'debian-12',
        sizeBytes: 20 * GIB,
        pool: 'fast',
        bus: v1.DiskBus.VIRTIO,
        clone: v1.CloneMode.FULL,
      },
      { name: 'data1', sizeBytes: 10 * GIB, bus: v1.DiskBus.SCSI, pool: 'p', image: '' },
      { name: 'data2', sizeBytes: 500e6 },
    ],
    nics: [
      { name: 'nic0', bridge: 'br0', mac: '52:54:00:aa:bb:01', model: v1.NicModel.E1000E },
      { name: 'back', bridge: 'br1', mtu: 9000 },
    ],
    osType: v1.OsType.LINUX,
    firmware: v1.Firmware.UEFI,
    bootOrder: ['root', 'nic0'],
    cloudInit: {
      enabled: true,
      user: 'kim',
      password: 'correct horse',
      sshKeys: [KEY],
      userData: '#cloud-config\n',
      networkConfig: 'version: 2\n',
      scripts: [
        { name: 'a.sh', order: 5, stage: v1.ScriptStage.PRE_NETWORK, content: 'echo a\n' },
        { name: 'b.sh', order: 20, stage: v1.ScriptStage.BOOT, content: 'echo b\n' },
      ],
    },
    shutdownTimeoutSeconds: 120,
    onShutdownTimeout: v1.TimeoutAction.FORCE_OFF,
    placement: { host: 'h1', requiredTags: ['ssd', 'zone-a'] },
  });
});

void t.test('the shortest create leaves the rest to the server; an ISO brings a blank disk and no seed', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const { stdout } = await ostler(fake, ['create', '--image', 'debian-12', '--memory', '1GiB']);
  t.match(stdout, /^i-new0000000 is created and running/, 'M-003: without a name the id is the name');
  const plain = fake.requestOf('createVm') as wire.v1.CreateVmRequest;
  t.equal(plain.start, true);
  t.equal(plain.spec?.osType, v1.OsType.OS_TYPE_UNSPECIFIED);
  t.equal(plain.spec?.cloudInit?.enabled, true);
  t.same(
    plain.spec?.nics?.map((nic) => nic.name),
    ['nic0'],
  );
  await ostler(fake, [
    'create',
    'win1',
    '--iso',
    'win-2022',
    '--disk-size',
    '64GiB',
    '--memory',
    '4GiB',
    '--os',
    'windows',
  ]);
  const iso = fake.requestOf('createVm') as wire.v1.CreateVmRequest; // M-007, M-012
  t.match(iso.spec?.disks, [
    { name: 'root', image: '', sizeBytes: 64 * GIB },
    { name: 'iso', image: 'win-2022', device: v1.DiskDevice.CDROM },
  ]);
  t.equal(iso.spec?.cloudInit?.enabled, false);
});

void t.test('a wrong value is refused naming its flag, before anything is sent', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const directory = temporaryDirectory(t);
  const secret = join(directory, 'id');
  writeFileSync(secret, '-----BEGIN OPENSSH PRIVATE KEY-----\nverysecret\n');
  const base = ['create', 'web1', '--image', 'debian-12'];
  const lines: readonly (readonly [readonly string[], string])[] = [
    [base, '--memory is missing'],
    [['create', 'web1', '--memory', '1GiB'], 'Neither --image nor --iso'],
    [[...base, '--memory', '2G'], '--memory: "G" is not a unit'],
    [[...base, '--memory', '1GiB', '--cpus', 'two'], '--cpus: "two" is not a whole number'],
    [[...base, '--memory', '1GiB', '--iso', 'x'], '--image and --iso exclude each other'],
    [['create', 'w', '--iso', 'x', '--memory', '1GiB'], '--iso needs --disk-size'],
    [[...base, '--memory', '1GiB', '--disk', 'size=10'], '--disk size: "10" has no unit'],
    [
      [...base, '--memory', '1GiB', '--disk', 'bus=ide,size=1GiB'],
      '--disk bus: "ide" is not one of virtio, scsi, sata',
    ],
    [[...base, '--memory', '1GiB', '--disk', 'colour=red'], '--disk: "colour" is not a key'],
    [[...base, '--memory', '1GiB', '--nic', 'br0'], '--nic: "br0" is not KEY=VALUE'],
    [[...base, '--memory', '1GiB', '--os', 'beos'], '--os: "beos" is not one of'],
    [[...base, '--memory', '1GiB', '--label', 'x'], '--label: "x" is not KEY=VALUE'],
    [[...base, '--memory', '1GiB', '--shutdown-timeout', '90'], '--shutdown-timeout: "90"'],
    [[...base, '--memory', '1GiB', '--ssh-key', secret], 'is a private key'],
    [[...base, '--memory', '1GiB', '--user-data', '/nonexistent'], '--user-data: cannot read /nonexistent'],
    [[...base, '--memory', '1GiB', '--script', 'x.sh,stage=late'], '--script stage: "late" is not one of'],
    [[...base, '--memory', '1GiB', '--no-cloud-init', '--user', 'kim'], '--no-cloud-init excludes'],
    [[...base, '--memory', '1GiB', '--password-stdin'], '--password-stdin: standard input held nothing'],
    [[...base, '--memory', '1GiB', '--password-prompt'], '--password-prompt: this is not a terminal'],
    [['create', '', '--image', 'x', '--memory', '1GiB'], 'empty'],
  ];
  for (const [line, expected] of lines) {
    const { code, stderr } = await ostler(fake, line);
    t.equal(code, 2, line.join(' '));
    t.ok(stderr.includes(expected), `${expected}\n${stderr}`);
    t.notMatch(stderr, /verysecret/);
  }
  t.same(fake.requests, []);
});

void t.test('create from a file', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const directory = temporaryDirectory(t);
  const path = join(directory, 'web.yaml');
  const write = (text: string): void => writeFileSync(path, text);
  write(`
name: web1
displayName: 웹서버
labels: { tier: front }
spec:
  cpu: { vcpus: 2 }
  memory: { sizeBytes: 2GiB, maxSizeBytes: 4294967296 }
  disks:
    - { name: root, image: debian-12, bus: VIRTIO, clone: full }
  nics:
    - { name: nic0, model: NIC_VIRTIO }
  osType: linux
  shutdownTimeoutSeconds: 2m
  onShutdownTimeout: force-off
  cloudInit:
    scripts: [{ name: a.sh, order: 1, stage: pre-network, content: "echo a" }]
`);
  const { code, stderr } = await ostler(fake, ['vm', 'create', '-f', path, 'web2', '--no-start']);
  t.equal(code, 0, stderr);
  const request = fake.requestOf('createVm') as wire.v1.CreateVmRequest;
  t.equal(request.name, 'web2', 'the name of the command line wins');
  t.equal(request.start, false);
  t.match(request.spec, {
    memory: { sizeBytes: 2 * GIB, maxSizeBytes: 4 * GIB },
    disks: [{ name: 'root', bus: v1.DiskBus.VIRTIO, clone: v1.CloneMode.FULL }],
    nics: [{ model: v1.NicModel.NIC_VIRTIO }],
    osType: v1.OsType.LINUX,
    shutdownTimeoutSeconds: 120,
    onShutdownTimeout: v1.TimeoutAction.FORCE_OFF,
    cloudInit: { enabled: true, scripts: [{ stage: v1.ScriptStage.PRE_NETWORK }] },
  });
  const sent = fake.requests.length;
  for (const [text, expected] of [
    ['spec: { memory: { sizeBytes: 2G }, disks: [] }', /web\.yaml: spec\.memory\.sizeBytes: .*"G" is not a unit/],
    ['spec: { memory: { sizeBytes: 1GiB }, disks: [], gpu: 1 }', /spec\.gpu: Unrecognized key/],
    ['spec: { memory: { sizeBytes: 1GiB }, disks: [{ name: a, bus: ide }] }', /spec\.disks\.0\.bus: is not one of/],
    ['id: i-1\nspec: { memory: { sizeBytes: 1GiB }, disks: [] }', /id: Unrecognized key/],
    ['{', /is not YAML/],
  ] as const) {
    write(text);
    const refused = await ostler(fake, ['create', '--file', path]);
    t.equal(refused.code, 2, text);
    t.match(refused.stderr, expected);
  }
  const mixed = await ostler(fake, ['create', '-f', path, '--memory', '1GiB']);
  t.match(mixed.stderr, /--file and --memory exclude each other/);
  t.equal(fake.requests.length, sent, 'nothing was sent');
});

// C-134
void t.test('from a snapshot: only what is said goes beside it', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const { code, stderr } = await ostler(fake, [
    'vm',
    'create',
    'twin',
    '--from-snapshot',
    'web1/before',
    '--memory',
    '4GiB',
  ]);
  t.equal(code, 0, stderr);
  const request = fake.requestOf('createVm') as wire.v1.CreateVmRequest;
  t.match(request.fromSnapshot, { vm: 'web1', snapshot: 'before' });
  t.equal(request.spec?.memory?.sizeBytes, 4 * GIB);
  t.notOk(request.spec?.cpu, 'as the other VM');
  t.notOk(request.spec?.cloudInit);
  t.same([request.spec?.disks ?? [], request.spec?.nics ?? []], [[], []]);
  for (const args of [['--image', 'debian-12'], ['--disk-size', '9GiB'], ['--disk', 'size=1GiB'], ['--reset-root']]) {
    const refused = await ostler(fake, ['vm', 'create', 'twin', '--from-snapshot', 'web1/before', ...args]);
    t.equal(refused.code, 2, args.join(' '));
    t.match(refused.stderr, /exclude each other/);
  }
  const half = await ostler(fake, ['vm', 'create', 'twin', '--from-snapshot', 'web1']);
  t.equal(half.code, 2);
  t.match(half.stderr, /VM\/SNAPSHOT/);
});
