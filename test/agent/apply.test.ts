import t, { type Test } from 'tap';
import type { RecordChange } from '../../agent/command.js';
import { NO_LIMITS } from '../../agent/core/domain-facts.js';
import { describeStep } from '../../agent/core/domain-steps.js';
import { MIB, type Disk, type Nic, type VmRecord, type VmSpec } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';
import { IMAGE, startApplyRig, type ApplyRig } from './apply-rig.js';

/** Changes of running and stopped VMs on the fake hypervisor: all of it or nothing, whatever fails, whenever it is killed. */
const disk = (name: string, changes: Partial<Disk> = {}): Disk => ({
  ...{ name, image: '', sizeBytes: 64 * MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
  ...changes,
});
const nic = (name: string, number: number): Nic => ({
  ...{ name, bridge: '', mac: `52:54:00:00:00:0${number}`, model: 'virtio', mtu: 0 },
});
const base = sampleRecord().spec;
const BEFORE: VmRecord = sampleRecord({
  spec: {
    ...base,
    cpu: { vcpus: 1, maxVcpus: 4, sockets: 1, cores: 4, threads: 1, model: '' },
    memory: { sizeBytes: 128 * MIB, maxSizeBytes: 512 * MIB },
    disks: [disk('root', { image: IMAGE.id, sizeBytes: 256 * MIB }), disk('data1'), disk('logs', { bus: 'scsi' })],
    nics: [nic('nic0', 1), nic('nic1', 2)],
    bootOrder: ['root', 'data1', 'logs', 'nic0', 'nic1'],
  },
});
const change = (to: (spec: VmSpec) => VmSpec, deleteVolumes = false): RecordChange => ({
  previous: BEFORE,
  record: { ...BEFORE, spec: to(BEFORE.spec) },
  images: [IMAGE],
  deleteVolumes,
});
/** Something of every kind. */
const EVERYTHING = change((spec) => ({
  ...spec,
  cpu: { ...spec.cpu, vcpus: 3 },
  memory: { ...spec.memory, sizeBytes: 256 * MIB },
  disks: [
    { ...spec.disks[0]!, sizeBytes: 512 * MIB },
    { ...spec.disks[2]!, limits: { ...NO_LIMITS, readIops: 100 } },
    disk('data2', { bus: 'scsi' }),
  ],
  nics: [spec.nics[0]!, nic('nic2', 3)],
  bootOrder: ['root', 'logs', 'nic0', 'nic2', 'data2'],
}));

/** Disks, NICs and their limits: what can be taken back, as the guest sees it. */
async function devices(rig: ApplyRig): Promise<unknown> {
  const { disks, nics } = await rig.facts();
  return [
    disks.map(({ serial, path, limits }) => ({ serial, path, limits })).sort((a, b) => (a.serial < b.serial ? -1 : 1)),
    nics.map(({ mac }) => mac).sort(),
  ];
}

async function checkDone(t: Test, rig: ApplyRig): Promise<void> {
  const facts = await rig.facts();
  t.equal(facts.vcpus, 3);
  t.same(
    facts.memory.map((one) => one.requestedBytes),
    [128 * MIB],
  );
  t.same(facts.disks.map((one) => one.serial).sort(), ['cidata', 'data2', 'logs', 'root']);
  t.same(facts.nics.map((one) => one.mac).sort(), ['52:54:00:00:00:01', '52:54:00:00:00:03']);
  t.same(facts.disks.find((one) => one.serial === 'logs')?.limits.readIops, 100);
  const defined = await rig.facts(true);
  t.equal(defined.vcpus, 3, 'C-105: the definition is the same');
  t.equal(defined.bootMemoryBytes, 256 * MIB);
  t.same(
    defined.disks.map((one) => one.serial),
    ['root', 'logs', 'data2', 'cidata'],
  );
  t.same(
    rig.poolFiles().map((path) => path.replace(/^.pool.ostler-/, '').replace(BEFORE.id, 'ID')),
    ['ID-data2.qcow2', 'ID-logs.qcow2', 'ID-root.qcow2', 'ID-seed.iso', 'volume-ID-data1.qcow2'],
  );
  const { plan } = await rig.plan({ ...EVERYTHING, previous: EVERYTHING.record });
  t.same(plan.ok ? plan.steps.map(describeStep) : plan.refusals, [], 'nothing is pending');
}

void t.test('everything at once', async (t) => {
  const rig = await startApplyRig(BEFORE);
  const facts = await rig.run(EVERYTHING);
  t.match(facts, { 'kept.data1': /^ostler-volume-/ });
  t.notOk(facts['warning.0'], 'the guest has brought all of it online');
  await checkDone(t, rig);
});

/** Every fault point of a change, in order. */
async function pointsOf(what: RecordChange): Promise<string[]> {
  const rig = await startApplyRig(BEFORE);
  const points: string[] = [];
  rig.onFault = (name) => void points.push(name);
  await rig.run(what);
  return points;
}

void t.test('whatever fails, devices and volumes are as they were', async (t) => {
  const points = await pointsOf(EVERYTHING);
  const last = points.indexOf('hotplug.recorded');
  t.ok(last > 15, `${last} places to fail`);
  for (const [index, name] of points.slice(0, last + 1).entries()) {
    const rig = await startApplyRig(BEFORE);
    const before = await devices(rig);
    const files = rig.poolFiles();
    let hits = 0;
    rig.onFault = () => {
      if (hits++ === index) throw new Error('it fails here');
    };
    await t.rejects(rig.run(EVERYTHING), { message: 'it fails here' }, `${index} ${name}`);
    t.same(await devices(rig), before, `${name}: devices`);
    t.same(rig.poolFiles(), files, `${name}: volumes`);
  }
});

void t.test('killed at any point, the next run ends what was begun', async (t) => {
  const points = await pointsOf(EVERYTHING);
  for (const [index, name] of points.entries()) {
    const rig = await startApplyRig(BEFORE);
    let hits = 0;
    rig.onFault = () => {
      if (hits++ !== index) return;
      rig.kill();
      throw new Error('killed');
    };
    const notes: string[] = [];
    await t.rejects(rig.run(EVERYTHING, notes), { message: 'killed' });
    rig.revive();
    rig.onFault = () => undefined;
    await rig.run(EVERYTHING, notes);
    await t.test(`${index} ${name}`, (t) => checkDone(t, rig));
  }
});

void t.test('a guest that does not let go', async (t) => {
  const rig = await startApplyRig(BEFORE);
  rig.world.controls.manners.releaseMs = -1;
  const before = await devices(rig);
  const files = rig.poolFiles();
  const what = change((spec) => ({ ...spec, disks: spec.disks.filter((one) => one.name !== 'data1') }), true);
  await t.rejects(rig.run(what), { code: 'GUEST_TIMEOUT', field: 'spec.disks', remedy: /unmount/ }); // C-116
  t.same(await devices(rig), before, 'it is still there');
  t.same(rig.poolFiles(), files, 'and so is its volume');
  t.equal((await rig.facts(true)).disks.length, 4, 'also in the definition');
});

void t.test('memory grows twice in one device', async (t) => {
  const rig = await startApplyRig(BEFORE);
  const to = (sizeBytes: number) => change((spec) => ({ ...spec, memory: { ...spec.memory, sizeBytes } }));
  await rig.run(to(256 * MIB));
  await rig.run({ ...to(384 * MIB), previous: to(256 * MIB).record }); // C-109
  t.match((await rig.facts()).memory, [{ sizeBytes: 384 * MIB, requestedBytes: 256 * MIB }]);
  t.equal((await rig.facts()).memory.length, 1);
});

void t.test('a guest that leaves its vCPUs offline is told of', async (t) => {
  const rig = await startApplyRig(BEFORE);
  const { manners } = rig.world.controls;
  await t.resolves(rig.world.hypervisor.domainXml(BEFORE.uuid));
  manners.offlineVcpus = 1;
  const what = change((spec) => ({ ...spec, cpu: { ...spec.cpu, vcpus: 2 } }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  t.match(await rig.run(what), {
    'warning.0': 'The vCPUs are plugged in, but the guest has not brought CPU 1 online.', // C-060
  });
  manners.offlineVcpus = 0;
  const quiet = await startApplyRig(BEFORE, { start: false });
  quiet.world.controls.manners.agentMs = -1;
  await quiet.world.hypervisor.createDomain(BEFORE.uuid);
  t.match(await quiet.run(what), { 'warning.0': /not known, as its agent does not answer/ });
});

void t.test('a stopped VM: volumes now, the rest in its definition', async (t) => {
  const rig = await startApplyRig(BEFORE, { start: false });
  await rig.run(EVERYTHING);
  const defined = await rig.facts(true);
  t.equal(defined.vcpus, 3);
  t.same(
    defined.disks.map((one) => one.serial),
    ['root', 'logs', 'data2', 'cidata'],
  ); // C-105
  t.same(rig.poolFiles().length, 5);
  const fresh = await startApplyRig(BEFORE, { start: false });
  await fresh.run(change((spec) => ({ ...spec, disks: spec.disks.slice(0, 1) }), true));
  t.same(
    fresh.poolFiles().filter((path) => path.includes('data1') || path.includes('logs')),
    [],
    'with their volumes, as asked',
  );
});

void t.test('what no definition can be made of is refused by the plan', async (t) => {
  const rig = await startApplyRig(BEFORE);
  const tagged = change((spec) => ({ ...spec, nics: [...spec.nics, { ...nic('nic2', 3), vlan: 7 }] }));
  const refusal = { code: 'UNSUPPORTED', field: 'spec.nics[2].vlan', message: /VLAN 7/, remedy: /bridge/ };
  await t.rejects(rig.plan(tagged), refusal, 'V-17: said before anything is touched, with what to do instead');
  await t.rejects(rig.run(tagged), refusal);
  t.equal((await rig.facts()).nics.length, 2);
});

void t.test('a volume that another domain has, or that is not what it says', async (t) => {
  const rig = await startApplyRig(BEFORE);
  const add = (volume: string) => change((spec) => ({ ...spec, disks: [...spec.disks, disk('x', { volume })] }));
  const { hypervisor, files } = rig.world;
  await t.rejects(rig.run(add('gone.qcow2')), { code: 'NOT_FOUND', field: 'spec.disks' });
  await t.rejects(rig.run(add(`ostler-${BEFORE.id}-root.qcow2`)), { code: 'IN_USE', field: 'spec.disks[0].volume' });
  files.set('/pool/raw.qcow2', Buffer.alloc(4096));
  await t.rejects(rig.run(add('raw.qcow2')), { code: 'BAD_IMAGE' });
  files.set('/pool/free.qcow2', files.get(`/pool/ostler-${BEFORE.id}-data1.qcow2`)!);
  const other = (await hypervisor.domainXml(BEFORE.uuid, { inactive: true }))
    .replaceAll(BEFORE.uuid, '6f1c2d3e-4a5b-4c6d-8e7f-000000000002')
    .replace(/\/pool\/[^"]*data1\.qcow2/, '/pool/free.qcow2');
  await hypervisor.defineDomain(other);
  await t.rejects(rig.run(add('free.qcow2')), { code: 'IN_USE', message: /is a disk of/ }); // C-076
  await hypervisor.undefineDomain('6f1c2d3e-4a5b-4c6d-8e7f-000000000002');
  await rig.run(add('free.qcow2'));
  t.ok(
    (await rig.facts()).disks.some((one) => one.path === '/pool/free.qcow2'),
    'C-076',
  );
});
