import fc from 'fast-check';
import type { BuildOptions } from '../../agent/xml/build-domain.js';
import { vmRecordSchema } from '../../proto/model/vm.js';
import type { Disk, Nic, VmRecord, VmSpec } from '../../proto/model/vm.js';

/** Records for the tests of agent/xml and agent/seed. Every one passes the schema, or the test breaks at once. */
export const MIB = 1024 * 1024;

export function disk(name: string, more: Partial<Disk> = {}): Disk {
  return { name, image: '', sizeBytes: 1024 * MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay', ...more };
}

export function cdrom(name: string, more: Partial<Disk> = {}): Disk {
  return disk(name, { device: 'cdrom', bus: 'sata', sizeBytes: 0, ...more });
}

export function nic(name: string, more: Partial<Nic> = {}): Nic {
  return { name, bridge: '', mac: '52:54:00:12:34:56', model: 'virtio', mtu: 0, ...more };
}

export interface Overrides extends Partial<Omit<VmRecord, 'spec'>> {
  readonly spec?: Partial<VmSpec>;
}

export function sampleRecord(overrides: Overrides = {}): VmRecord {
  const spec: VmSpec = {
    cpu: { vcpus: 1, maxVcpus: 1, sockets: 1, cores: 1, threads: 1, model: '' },
    memory: { sizeBytes: 128 * MIB, maxSizeBytes: 128 * MIB },
    disks: [disk('root')],
    nics: [nic('net0')],
    osType: 'linux',
    firmware: 'bios',
    bootOrder: [],
    cloudInit: {
      enabled: true,
      user: 'cloudia',
      passwordHash: '',
      sshKeys: [],
      userData: '',
      networkConfig: '',
      scripts: [],
    },
    shutdownTimeoutSeconds: 60,
    onShutdownTimeout: 'keep-running',
    placement: { host: '', requiredTags: [] },
    ...overrides.spec,
  };
  return vmRecordSchema.parse({
    id: 'i-0123456789',
    uuid: '11111111-2222-4333-8444-555555555555',
    name: 'web1',
    displayName: 'web1',
    description: '',
    labels: {},
    epoch: 3,
    createdBy: 'admin',
    createTime: 1_750_000_000_000,
    startedOnce: false,
    ...overrides,
    spec,
  });
}

export function sampleOptions(record: VmRecord, more: Partial<BuildOptions> = {}): BuildOptions {
  const disks = new Map(
    record.spec.disks
      .filter((one) => one.device === 'disk')
      .map((one) => [one.name, { path: `/var/lib/ostler/disks/${one.name}.qcow2`, format: 'qcow2' as const }]),
  );
  return {
    virtType: 'qemu',
    disks,
    seedPath: '/var/lib/ostler/disks/seed.iso',
    serialLogPath: '/var/log/ostler/serial.log',
    defaultBridge: 'br0',
    ...more,
  };
}

/** What people and attackers type; each either goes through unharmed or is refused by the schema. */
export const HOSTILE_TEXTS = [
  '웹서버',
  '<script>&amp;"\'</script>',
  ']]>',
  '<![CDATA[x]]>',
  '<!-- --> --',
  '&#0;',
  '&xxe;',
  '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>',
  '😀👩‍💻',
  'مرحبا \u202e right to left',
  ' leading and trailing ',
  '${HOME} $(id) `id`; rm -rf /',
  '\u00a0\u2028\u2029\ufeff',
  '가'.repeat(128),
  '\u0000',
  'a\u0001b',
  'a\rb',
  '\ud800',
  '\uffff',
] as const;

/** Texts that the schema lets through, of any script. */
export const anyDisplayName = fc
  .oneof(fc.string({ unit: 'binary', minLength: 1, maxLength: 60 }), fc.constantFrom(...HOSTILE_TEXTS))
  .filter((text) => vmRecordSchema.shape.displayName.safeParse(text).success);

export const anyDescription = fc
  .oneof(fc.string({ unit: 'binary', maxLength: 200 }), fc.constantFrom(...HOSTILE_TEXTS), fc.constant('a\n\tb\n'))
  .filter((text) => vmRecordSchema.shape.description.safeParse(text).success);

const anyDisk = fc.record({
  bus: fc.constantFrom('virtio' as const, 'scsi' as const, 'sata' as const),
  device: fc.constantFrom('disk' as const, 'cdrom' as const),
});
const anyName = fc.stringMatching(/^[a-z][a-z0-9-]{0,27}$/);

/** Records of any shape that the schema allows. */
export const anyRecord: fc.Arbitrary<VmRecord> = fc
  .record({
    displayName: anyDisplayName,
    description: anyDescription,
    names: fc.uniqueArray(anyName, { minLength: 33, maxLength: 33 }),
    disks: fc.array(anyDisk, { minLength: 1, maxLength: 32 }),
    nics: fc.array(
      fc.record({ model: fc.constantFrom('virtio' as const, 'e1000e' as const), mtu: fc.constantFrom(0, 576, 9000) }),
      { minLength: 1, maxLength: 8 },
    ),
    topology: fc.tuple(fc.integer({ min: 1, max: 4 }), fc.integer({ min: 1, max: 8 }), fc.integer({ min: 1, max: 2 })),
    memory: fc.tuple(fc.integer({ min: 32, max: 4096 }), fc.integer({ min: 0, max: 8192 })),
    osType: fc.constantFrom('linux' as const, 'windows' as const, 'other' as const),
    firmware: fc.constantFrom('bios' as const, 'uefi' as const),
    epoch: fc.nat(),
    boot: fc.boolean(),
    userData: anyDescription,
  })
  .map((any) => {
    const disks = any.disks.map((one, index) => {
      const name = any.names[index] ?? `disk${index}`;
      return one.device === 'cdrom'
        ? cdrom(name, { bus: one.bus === 'virtio' ? 'scsi' : one.bus })
        : disk(name, { bus: one.bus });
    });
    const nics = any.nics.map((one, index) =>
      nic(`nic-${index}-x`, { ...one, mac: `52:54:00:00:00:${index.toString(16).padStart(2, '0')}` }),
    );
    const [sockets, cores, threads] = any.topology;
    const [size, more] = any.memory;
    const base = sampleRecord();
    return sampleRecord({
      displayName: any.displayName,
      description: any.description,
      epoch: any.epoch,
      spec: {
        disks,
        nics,
        cpu: { vcpus: 1, maxVcpus: sockets * cores * threads, sockets, cores, threads, model: '' },
        memory: { sizeBytes: size * MIB, maxSizeBytes: (size + more) * MIB },
        osType: any.osType,
        firmware: any.firmware,
        bootOrder: any.boot ? [...disks, ...nics].map((one) => one.name).reverse() : [],
        cloudInit: { ...base.spec.cloudInit, userData: any.userData },
      },
    });
  });
