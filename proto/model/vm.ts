import { z } from 'zod';
import {
  bridgeSchema,
  descriptionSchema,
  displayNameSchema,
  idSchema,
  labelsSchema,
  macSchema,
  nameSchema,
  poolNameSchema,
  tagSchema,
  textSchema,
  uuidSchema,
} from './names.js';
import { cloudInitSchema } from './cloud-init.js';

/** Units: bytes, seconds, milliseconds since 1970 (UTC). A spec that passed the schema is complete: defaults are filled in. */
export const MIB = 1024 * 1024;

const bytes = z
  .int('is not a whole number of bytes')
  .nonnegative()
  .max(2 ** 50, 'is more than 1 PiB');
const mebibytes = bytes.refine((value) => value % MIB === 0, 'is not a whole number of MiB');

export const cpuSchema = z
  .strictObject({
    vcpus: z.int().min(1, 'must be at least 1').max(512, 'is more than 512'),
    maxVcpus: z.int().min(1).max(512, 'is more than 512'),
    sockets: z.int().min(1).max(512),
    cores: z.int().min(1).max(512),
    threads: z.int().min(1).max(8),
    /** libvirt model name, `host-model`, `host-passthrough`, or empty for the host's default. */
    model: z.string().regex(/^[A-Za-z0-9._+-]{0,64}$/, 'is not a CPU model name'),
  })
  .refine((cpu) => cpu.maxVcpus >= cpu.vcpus, { path: ['maxVcpus'], message: 'must be at least vcpus' }) // C-059
  .refine((cpu) => cpu.sockets * cpu.cores * cpu.threads === cpu.maxVcpus, {
    path: ['sockets'],
    message: 'sockets × cores × threads must equal max_vcpus',
  });

export const memorySchema = z
  .strictObject({
    sizeBytes: mebibytes.min(32 * MIB, 'is less than 32 MiB'),
    maxSizeBytes: mebibytes,
  })
  .refine((memory) => memory.maxSizeBytes >= memory.sizeBytes, {
    path: ['maxSizeBytes'],
    message: 'must be at least size_bytes',
  });

export const deviceNameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9-]{0,30}$/, 'use a lower-case letter, then letters, digits, hyphens; at most 31');

/** A volume of a pool by its file name; the ending tells its format. */
export const volumeNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,126}\.(qcow2|raw|img)$/,
    'is no name of a .qcow2, .raw or .img file in the pool',
  );

const rate = z
  .int()
  .nonnegative()
  .max(2 ** 50, 'is more than 2^50');

/** What a disk may do in a second; 0: as much as it can. */
export const diskLimitsSchema = z.strictObject({
  readBytesPerSecond: rate,
  writeBytesPerSecond: rate,
  readIops: rate,
  writeIops: rate,
});

export const diskSchema = z
  .strictObject({
    name: deviceNameSchema,
    /** Image id; empty: blank. */
    image: z.union([z.literal(''), idSchema]),
    sizeBytes: bytes.refine((value) => value % 512 === 0, 'is not a multiple of 512 bytes'),
    /** libvirt pool; empty: the host's default. */
    pool: z.union([z.literal(''), poolNameSchema]),
    bus: z.enum(['virtio', 'scsi', 'sata']),
    device: z.enum(['disk', 'cdrom']),
    clone: z.enum(['overlay', 'full']),
    /** Absent: none. */
    limits: diskLimitsSchema.exactOptional(),
    /** A volume that was there before the disk; absent: one is made for it. */
    volume: volumeNameSchema.exactOptional(),
  })
  .refine((disk) => disk.volume === undefined || (disk.image === '' && disk.device === 'disk'), {
    path: ['volume'],
    message: 'is given together with an image or a CD-ROM',
  })
  .refine((disk) => disk.limits === undefined || disk.device === 'disk', {
    path: ['limits'],
    message: 'are for disks, not for CD-ROMs',
  })
  .refine(
    (disk) => disk.image !== '' || disk.device === 'cdrom' || disk.volume !== undefined || disk.sizeBytes >= MIB,
    {
      path: ['sizeBytes'],
      message: 'a blank disk needs a size of at least 1 MiB',
    },
  )
  .refine((disk) => disk.device !== 'cdrom' || disk.bus !== 'virtio', {
    path: ['bus'],
    message: 'a CD-ROM needs scsi or sata',
  });

export const nicSchema = z.strictObject({
  name: deviceNameSchema,
  bridge: z.union([z.literal(''), bridgeSchema]),
  mac: macSchema,
  model: z.enum(['virtio', 'e1000e']),
  /** 0: the bridge's. */
  mtu: z
    .int()
    .max(65535)
    .refine((mtu) => mtu === 0 || mtu >= 576, 'is below 576'),
  /** Tag on the bridge; absent: none. */
  vlan: z.int().min(1, 'is not in 1 to 4094').max(4094, 'is not in 1 to 4094').exactOptional(),
});

export const placementSchema = z.strictObject({
  host: z.union([z.literal(''), idSchema, nameSchema]),
  requiredTags: z.array(tagSchema).max(32),
});

function unique(names: readonly { readonly name: string }[]): boolean {
  return new Set(names.map((one) => one.name)).size === names.length;
}

export const vmSpecSchema = z
  .strictObject({
    cpu: cpuSchema,
    memory: memorySchema,
    disks: z
      .array(diskSchema)
      .min(1, 'a VM needs at least one disk')
      .max(32, 'more than 32 disks')
      .refine(unique, 'two disks have the same name'),
    nics: z
      .array(nicSchema)
      .min(1, 'a VM needs at least one NIC')
      .max(16, 'more than 16 NICs')
      .refine(unique, 'two NICs have the same name'), // C-063
    osType: z.enum(['linux', 'windows', 'other']),
    firmware: z.enum(['bios', 'uefi']),
    /** Names of disks and NICs, complete and in order. */
    bootOrder: z.array(deviceNameSchema),
    cloudInit: cloudInitSchema,
    shutdownTimeoutSeconds: z.int().min(1).max(3600, 'is more than an hour'),
    onShutdownTimeout: z.enum(['keep-running', 'force-off']),
    placement: placementSchema,
    // The four below are written only when they are true: records of earlier versions do not have them.
    /** Starts when its host starts. */
    autostart: z.boolean().exactOptional(),
    deleteProtection: z.boolean().exactOptional(),
    /** A TPM 2.0 with state of its own. */
    tpm: z.boolean().exactOptional(),
    /** Every start and reboot through us begins with a fresh root disk. */
    resetRootAtReboot: z.boolean().exactOptional(),
  })
  .refine(
    (spec) => spec.bootOrder.every((name) => [...spec.disks, ...spec.nics].some((device) => device.name === name)),
    {
      path: ['bootOrder'],
      message: 'names a device that the VM does not have',
    },
  )
  .refine((spec) => unique([...spec.disks, ...spec.nics]), { path: ['nics'], message: 'a NIC has the name of a disk' })
  .refine(
    (spec) => spec.resetRootAtReboot !== true || (spec.disks[0]?.device === 'disk' && spec.disks[0].image !== ''),
    {
      path: ['resetRootAtReboot'],
      message: 'needs a first disk that is made from an image',
    },
  )
  .refine((spec) => spec.resetRootAtReboot !== true || spec.autostart !== true, {
    path: ['autostart'],
    message: 'excludes reset_root_at_reboot: the host starts the VM by itself, with the disk as it is',
  });

/** What makes a VM: in the controller's store, in commands, and in the domain's own metadata. */
export const vmRecordSchema = z.strictObject({
  id: idSchema,
  uuid: uuidSchema,
  name: nameSchema,
  displayName: displayNameSchema,
  description: descriptionSchema,
  labels: labelsSchema,
  spec: vmSpecSchema,
  /** Counts the assignments of the VM to hosts: a fencing token. 0: never assigned. */
  epoch: z.int().nonnegative(),
  createdBy: textSchema(64).min(1),
  createTime: z.int(),
  startedOnce: z.boolean(),
  /** When it was soft-deleted. */
  deleteTime: z.int().optional(),
});

export type Cpu = z.infer<typeof cpuSchema>;
export type Memory = z.infer<typeof memorySchema>;
export type DiskLimits = z.infer<typeof diskLimitsSchema>;
export type Disk = z.infer<typeof diskSchema>;
export type Nic = z.infer<typeof nicSchema>;
export type VmSpec = z.infer<typeof vmSpecSchema>;
export type VmRecord = z.infer<typeof vmRecordSchema>;

/** The first disk that is no CD-ROM; undefined: the VM lives from CD-ROMs alone. */
export function rootDisk(spec: VmSpec): Disk | undefined {
  return spec.disks.find((disk) => disk.device === 'disk');
}
