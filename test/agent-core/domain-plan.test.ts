import t from 'tap';
import { NO_LIMITS, type DomainFacts } from '../../agent/core/domain-facts.js';
import { planDomain, type PlanInput } from '../../agent/core/domain-plan.js';
import { describeStep } from '../../agent/core/domain-steps.js';
import { MIB, type Disk, type Nic, type VmRecord, type VmSpec } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';

/** Plans as sentences: a change of a VM in, what would be done or every reason why not out. */
const GIB = 1024 * MIB;

const disk = (name: string, changes: Partial<Disk> = {}): Disk => ({
  ...{ name, image: '', sizeBytes: GIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
  ...changes,
});
const nic = (name: string, number: number, changes: Partial<Nic> = {}): Nic => ({
  ...{ name, bridge: '', mac: `52:54:00:00:00:0${number}`, model: 'virtio', mtu: 0 },
  ...changes,
});

const BASE: VmSpec = {
  ...sampleRecord().spec,
  cpu: { vcpus: 2, maxVcpus: 4, sockets: 1, cores: 2, threads: 2, model: '' },
  memory: { sizeBytes: GIB, maxSizeBytes: 4 * GIB },
  disks: [
    disk('root', { image: 'img-0123456789' }),
    disk('data1'),
    disk('logs', { bus: 'scsi' }),
    disk('cd', { device: 'cdrom', bus: 'scsi', sizeBytes: 0 }),
  ],
  nics: [nic('nic0', 1), nic('nic1', 2)],
  bootOrder: ['root', 'nic0'],
};

const LIVE: DomainFacts = {
  vcpus: 2,
  maxVcpus: 4,
  bootMemoryBytes: GIB,
  maxMemoryBytes: 4 * GIB,
  memory: [],
  disks: BASE.disks.map((one, index) => ({
    serial: one.name,
    dev: one.bus === 'virtio' ? `vd${'abc'[index] ?? ''}` : `sd${'__ab'[index] ?? ''}`,
    bus: one.bus,
    device: one.device,
    path: one.device === 'disk' ? `/pool/${one.name}.qcow2` : undefined,
    alias: `disk-${one.name}`,
    address: one.bus === 'virtio' ? undefined : { controller: 0, target: index - 2, unit: 0 },
    limits: NO_LIMITS,
  })),
  nics: BASE.nics.map((one, index) => ({ mac: one.mac, alias: `net${index}`, tap: `vnet${index}` })),
  bootOrder: ['root', '52:54:00:00:00:01'],
  freePorts: 6,
  hasScsi: true,
};

interface Case {
  /** Rows of the acceptance list. */
  readonly rows: string;
  readonly when?: 'running' | 'off' | 'paused';
  readonly to: (spec: VmSpec) => VmSpec;
  readonly live?: Partial<DomainFacts>;
  readonly input?: Partial<PlanInput>;
  readonly plan: readonly string[];
}

const recordOf = (spec: VmSpec): VmRecord => sampleRecord({ spec });

/** One sentence a step; refusals as `No (FIELD): why | what to do`. */
function sentences({ when = 'running', to, live = {}, input = {} }: Case): string[] {
  const plan = planDomain({
    previous: recordOf(BASE),
    wanted: recordOf(to(BASE)),
    live: when === 'off' ? undefined : { ...LIVE, ...live },
    paused: when === 'paused',
    deleteVolumes: false,
    ...input,
  });
  if (plan.ok) return plan.steps.map(describeStep);
  return plan.refusals.map(({ code, field, message, remedy }) => `No (${code}, ${field}): ${message} | ${remedy}`);
}

const cpu = (changes: Partial<VmSpec['cpu']>) => (spec: VmSpec) => ({ ...spec, cpu: { ...spec.cpu, ...changes } });
const memory = (sizeBytes: number, maxSizeBytes = 4 * GIB) => {
  return (spec: VmSpec): VmSpec => ({ ...spec, memory: { sizeBytes, maxSizeBytes } });
};
const disks = (make: (all: readonly Disk[]) => readonly Disk[]) => {
  return (spec: VmSpec): VmSpec => ({ ...spec, disks: [...make(spec.disks)] });
};
const changed = (name: string, changes: Partial<Disk>) =>
  disks((all) => all.map((one) => (one.name === name ? { ...one, ...changes } : one)));
const nics = (make: (all: readonly Nic[]) => readonly Nic[]) => {
  return (spec: VmSpec): VmSpec => ({ ...spec, nics: [...make(spec.nics)] });
};

const STOP = 'Stop the VM first, change it, then start it.';
const RUNNING = 'cannot be changed while the VM runs.';

const CASES: readonly Case[] = [
  { rows: 'nothing is asked for', to: (spec) => spec, plan: [] },
  {
    rows: 'C-060 C-109 vCPUs grow up to the ceiling',
    to: cpu({ vcpus: 4 }),
    plan: ['Now: plug 2 vCPUs in, 2 → 4.'],
  },
  {
    rows: 'C-111 vCPUs never shrink while it runs',
    to: cpu({ vcpus: 1 }),
    plan: [`No (WRONG_STATE, spec.cpu.vcpus): A running VM only gains vCPUs: it has 2, 1 are asked for. | ${STOP}`],
  },
  {
    rows: 'C-109 beyond what it was started with, although the record allows it by now',
    to: cpu({ vcpus: 6, maxVcpus: 8, cores: 4 }),
    plan: [
      'No (WRONG_STATE, spec.cpu.vcpus): It was started with room for 4 vCPUs; 6 are asked for. | ' +
        'Stop it, raise max_vcpus too, then start it.',
    ],
  },
  {
    rows: 'C-098 a new ceiling is for the next start',
    to: cpu({ maxVcpus: 8, cores: 4 }),
    plan: ['At the next start: it can have up to 8 vCPUs (1 × 4 × 2).'],
  },
  {
    rows: 'C-118 advanced CPU',
    to: cpu({ threads: 1, cores: 4, model: 'host-model' }),
    plan: [
      `No (WRONG_STATE, spec.cpu.threads): Threads per core ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.cpu.cores): Cores per socket ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.cpu.model): The CPU model ${RUNNING} | ${STOP}`,
    ],
  },
  {
    rows: 'C-097 C-118 all of that while it is off',
    when: 'off',
    to: cpu({ vcpus: 1, threads: 1, cores: 4, model: 'host-model' }),
    plan: [
      'At the next start: it has 1 vCPUs.',
      'At the next start: it can have up to 4 vCPUs (1 × 4 × 1).',
      'At the next start: its CPU is host-model.',
    ],
  },
  {
    rows: 'C-060 C-109 memory grows',
    to: memory(2 * GIB),
    plan: ['Now: grow memory from 1 GiB to 2 GiB by virtio-mem.'],
  },
  {
    rows: 'C-109 memory grows again, in the same device',
    to: memory(3 * GIB),
    live: {
      memory: [
        {
          model: 'virtio-mem',
          alias: 'virtiomem0',
          sizeBytes: 3 * GIB,
          requestedBytes: GIB,
          currentBytes: GIB,
          blockBytes: 2 * MIB,
        },
      ],
    },
    plan: ['Now: grow memory from 2 GiB to 3 GiB by virtio-mem.'],
  },
  {
    rows: 'C-109 another system than Linux gets a DIMM',
    to: memory(2 * GIB),
    input: {
      wanted: recordOf({ ...BASE, osType: 'windows', memory: { sizeBytes: 2 * GIB, maxSizeBytes: 4 * GIB } }),
      previous: recordOf({ ...BASE, osType: 'windows' }),
    },
    plan: ['Now: grow memory from 1 GiB to 2 GiB by a DIMM.'],
  },
  {
    rows: 'C-111 memory never shrinks while it runs',
    to: memory(512 * MIB),
    plan: [
      `No (WRONG_STATE, spec.memory.size_bytes): A running VM only gains memory: it has 1 GiB, 512 MiB are asked for. | ${STOP}`,
    ],
  },
  {
    rows: 'C-109 memory beyond the ceiling it was started with',
    to: memory(6 * GIB, 8 * GIB),
    plan: [
      'No (WRONG_STATE, spec.memory.size_bytes): It was started with room for 3 GiB more memory; 5 GiB more are asked for. | ' +
        'Stop it, raise max_size_bytes too, then start it.',
    ],
  },
  {
    rows: 'C-109 started without room for memory',
    to: memory(2 * GIB),
    live: { maxMemoryBytes: undefined },
    plan: [
      'No (WRONG_STATE, spec.memory.size_bytes): It was started with room for 0 B more memory; 1 GiB more are asked for. | ' +
        'Stop it, raise max_size_bytes too, then start it.',
    ],
  },
  {
    rows: 'memory in steps',
    to: memory(GIB + MIB),
    plan: [
      'No (WRONG_STATE, spec.memory.size_bytes): Memory of a running VM grows in steps of 2 MiB; 1 MiB more are asked for. | ' +
        'Ask for a whole number of steps, or stop it first.',
    ],
  },
  {
    rows: 'C-102 C-114 disks are added, on virtio and on SCSI',
    to: disks((all) => [...all, disk('data2'), disk('data3', { bus: 'scsi' })]),
    plan: [
      'Now: make a volume of 1 GiB for the disk data2.',
      'Now: make a volume of 1 GiB for the disk data3.',
      "Now: plug the disk data2 in (virtio, vdc on the host's side).",
      "Now: plug the disk data3 in (scsi, sdc on the host's side).",
    ],
  },
  {
    rows: 'C-114 the first SCSI disk brings its controller',
    to: disks((all) => [...all, disk('data3', { bus: 'scsi' })]),
    live: { hasScsi: false },
    plan: [
      'Now: make a volume of 1 GiB for the disk data3.',
      'Now: plug a SCSI controller in.',
      "Now: plug the disk data3 in (scsi, sdc on the host's side).",
    ],
  },
  {
    rows: 'C-076 a volume that is there',
    to: disks((all) => [...all, disk('data2', { volume: 'old.qcow2' })]),
    plan: ["Now: plug the disk data2 in (virtio, vdc on the host's side)."],
  },
  {
    rows: 'C-114 a disk is taken out, its volume stays',
    to: disks((all) => all.filter((one) => one.name !== 'data1')),
    plan: [
      'Now: take the disk data1 out, once the guest has let it go.',
      'Now: keep the volume of the disk data1 in its pool.',
    ],
  },
  {
    rows: 'a disk is taken out with its volume',
    to: disks((all) => all.filter((one) => one.name !== 'data1')),
    input: { deleteVolumes: true },
    plan: [
      'Now: take the disk data1 out, once the guest has let it go.',
      'Now: remove the volume of the disk data1 with what is on it.',
    ],
  },
  {
    rows: 'C-103 C-115 the boot disk stays',
    to: disks((all) => all.slice(1)),
    plan: [
      'No (WRONG_STATE, spec.disks[0]): The boot disk root cannot be removed; only data disks can. | Delete the VM instead.',
    ],
  },
  {
    rows: 'C-078 C-103 the boot disk stays while it is off, too',
    when: 'off',
    to: disks((all) => all.slice(1)),
    plan: [
      'No (WRONG_STATE, spec.disks[0]): The boot disk root cannot be removed; only data disks can. | Delete the VM instead.',
    ],
  },
  {
    rows: 'C-095 C-118 the image of a disk is for ever',
    to: changed('root', { image: 'img-9999999999' }),
    plan: [
      'No (WRONG_STATE, spec.disks[0].image): The image of the disk root cannot be changed. | Add another disk and remove this one.',
    ],
  },
  {
    rows: 'M-033 C-117 disks grow',
    to: changed('root', { sizeBytes: 2 * GIB }),
    plan: ['Now: grow the disk root from 1 GiB to 2 GiB.'],
  },
  ...(['running', 'off'] as const).map((when): Case => ({
    rows: `C-117 disks never shrink (${when})`,
    when,
    to: changed('data1', { sizeBytes: 512 * MIB }),
    plan: [
      'No (WRONG_STATE, spec.disks[1].size_bytes): A disk only grows: data1 has 1 GiB, 512 MiB are asked for. | ' +
        'Copy what is on it to a smaller disk.',
    ],
  })),
  {
    rows: 'limits come and go',
    to: changed('data1', { limits: { ...NO_LIMITS, readIops: 100, writeBytesPerSecond: 10 * MIB } }),
    plan: ['Now: limit the disk data1 to 10 MiB/s written, 100 reads/s.'],
  },
  {
    rows: 'C-107 what a disk is, it stays',
    to: changed('data1', { bus: 'scsi', pool: 'fast', clone: 'full' }),
    plan: [
      'No (WRONG_STATE, spec.disks[1].pool): The disk data1 stays in its pool. | Add another disk and remove this one.',
      'No (WRONG_STATE, spec.disks[1].clone): The volume of the disk data1 stays as it is. | Add another disk and remove this one.',
      `No (WRONG_STATE, spec.disks[1].bus): The bus of the disk data1 ${RUNNING} | ${STOP}`,
    ],
  },
  {
    rows: 'C-107 SATA and CD-ROM drives have no hotplug',
    to: disks((all) => [
      ...all,
      disk('s1', { bus: 'sata' }),
      disk('cd2', { device: 'cdrom', bus: 'scsi', sizeBytes: 0 }),
    ]),
    plan: [
      'No (WRONG_STATE, spec.disks[4].bus): SATA has no hotplug: the disk s1 cannot be added while the VM runs. | ' +
        'Use bus virtio or scsi, or stop the VM first.',
      `No (WRONG_STATE, spec.disks[5].bus): A CD-ROM drive cannot be plugged into a running VM (cd2). | ${STOP}`,
    ],
  },
  {
    rows: 'V-18 a medium is put in',
    to: changed('cd', { image: 'img-5555555555' }),
    plan: ['Now: put img-5555555555 into the drive cd.'],
  },
  {
    rows: 'C-100 C-112 a NIC is added',
    to: nics((all) => [...all, nic('nic2', 3, { bridge: 'br-dmz' })]),
    plan: ['Now: plug the NIC nic2 in (52:54:00:00:00:03 on br-dmz).'],
  },
  {
    rows: 'C-113 a secondary NIC is taken out',
    to: nics((all) => all.slice(0, 1)),
    plan: ['Now: take the NIC nic1 out, once the guest has let it go.'],
  },
  ...(['running', 'off'] as const).map((when): Case => ({
    rows: `C-101 C-108 the first NIC stays (${when})`,
    when,
    to: nics((all) => all.slice(1)),
    plan: [
      'No (WRONG_STATE, spec.nics[0]): The first NIC nic0 cannot be removed; only secondary ones can. | Add or remove a secondary NIC.',
    ],
  })),
  {
    rows: 'C-096 C-108 a NIC moves to another network only while it is off',
    to: nics((all) => all.map((one) => ({ ...one, bridge: 'br-dmz' }))),
    plan: [
      `No (WRONG_STATE, spec.nics[0].bridge): The first NIC nic0 ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.nics[1].bridge): The NIC nic1 ${RUNNING} | Remove it and add another one, or stop the VM first.`,
    ],
  },
  {
    rows: 'C-096 while it is off it moves',
    when: 'off',
    to: nics((all) => all.map((one) => ({ ...one, bridge: 'br-dmz' }))),
    plan: ['At the next start: the NIC nic0 is as given.', 'At the next start: the NIC nic1 is as given.'],
  },
  {
    rows: 'C-107 C-118 everything else while it runs',
    to: (spec) => ({
      ...spec,
      osType: 'windows',
      firmware: 'uefi',
      cloudInit: { ...spec.cloudInit, user: 'other' },
      placement: { host: '', requiredTags: ['ssd'] },
    }),
    plan: [
      `No (WRONG_STATE, spec.os_type): The kind of operating system ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.firmware): The firmware ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.cloud_init): Cloud-init ${RUNNING} | ${STOP}`,
      `No (WRONG_STATE, spec.placement): Where it may be placed ${RUNNING} | ${STOP}`,
    ],
  },
  {
    rows: 'C-105 boot order waits, the way to stop does not',
    to: (spec) => ({ ...spec, bootOrder: ['nic0', 'root'], shutdownTimeoutSeconds: 30 }),
    plan: [
      'Now: a stop waits 30 s for the guest, then lets it run on.',
      'At the next start: it boots from nic0, root.',
    ],
  },
  {
    rows: 'no port is left',
    to: nics((all) => [...all, nic('nic2', 3)]),
    live: { freePorts: 0 },
    plan: [
      'No (WRONG_STATE, spec.nics): The machine has 0 free PCIe ports; the new devices need 1. | ' +
        'Stop it and start it again: that makes new ports. SCSI disks need none.',
    ],
  },
  {
    rows: 'a paused guest takes nothing',
    when: 'paused',
    to: cpu({ vcpus: 4 }),
    plan: [
      'No (WRONG_STATE, spec): web1 is paused: its guest cannot take or give up devices. | Resume it, or stop it.',
    ],
  },
  {
    rows: 'C-105 all at once while it is off: volumes now, the rest at the next start',
    when: 'off',
    to: (spec) => ({
      ...spec,
      disks: [{ ...spec.disks[0]!, sizeBytes: 2 * GIB }, disk('data2', { bus: 'sata' })],
      nics: spec.nics.slice(0, 1),
      memory: { sizeBytes: 2 * GIB, maxSizeBytes: 2 * GIB },
    }),
    plan: [
      'Now: make a volume of 1 GiB for the disk data2.',
      'Now: grow the disk root from 1 GiB to 2 GiB.',
      'Now: keep the volume of the disk data1 in its pool.',
      'Now: keep the volume of the disk logs in its pool.',
      'At the next start: it has 2 GiB of memory.',
      'At the next start: it can have up to 2 GiB of memory.',
      'At the next start: it has the disk data2.',
      'At the next start: it has no disk data1.',
      'At the next start: it has no disk logs.',
      'At the next start: it has no cdrom cd.',
      'At the next start: it has no NIC nic1.',
    ],
  },
  {
    rows: 'everything that can be taken back comes before what cannot',
    to: (spec) => ({
      ...cpu({ vcpus: 3 })(memory(2 * GIB)(spec)),
      disks: [{ ...spec.disks[0]!, sizeBytes: 2 * GIB }, ...spec.disks.slice(2), disk('data2')],
      nics: [spec.nics[0]!, nic('nic2', 3)],
    }),
    plan: [
      'Now: make a volume of 1 GiB for the disk data2.',
      "Now: plug the disk data2 in (virtio, vdc on the host's side).",
      'Now: plug the NIC nic2 in (52:54:00:00:00:03).',
      'Now: take the disk data1 out, once the guest has let it go.',
      'Now: take the NIC nic1 out, once the guest has let it go.',
      'Now: grow the disk root from 1 GiB to 2 GiB.',
      'Now: grow memory from 1 GiB to 2 GiB by virtio-mem.',
      'Now: plug 1 vCPU in, 2 → 3.',
      'Now: keep the volume of the disk data1 in its pool.',
    ],
  },
];

for (const one of CASES) void t.test(one.rows, (t) => (t.same(sentences(one), one.plan), t.end()));

void t.test('what is done already is not done again: a plan of a half-done change holds the rest', (t) => {
  const wanted = disks((all) => [...all.filter((one) => one.name !== 'data1'), disk('data2')]);
  const [data1, ...others] = LIVE.disks
    .filter((one) => one.serial === 'data1')
    .concat(LIVE.disks.filter((one) => one.serial !== 'data1'));
  const plugged = { ...data1!, serial: 'data2', dev: 'vdc' };
  t.same(sentences({ rows: '', to: wanted, live: { disks: [...others, plugged] }, plan: [] }), [
    'Now: keep the volume of the disk data1 in its pool.',
    'At the next start: it has no disk data1.',
  ]);
  t.end();
});
