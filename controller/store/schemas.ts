/** What a document on disk must look like. Parsed when the store is opened; after that the types are trusted. */
import { z } from 'zod';
import { imageDefaultsSchema, imageFormatSchema } from '../../proto/model/image.js';
import { snapshotWishSchema } from '../../proto/model/snapshot.js';
import { vmRecordSchema, vmSpecSchema } from '../../proto/model/vm.js';
import type { DocumentKind } from '../core/model.js';

const time = z.number().nonnegative();
const words = z.record(z.string(), z.string());

const errorSchema = z.strictObject({
  code: z.string(),
  message: z.string(),
  remedy: z.string().exactOptional(),
  field: z.string().exactOptional(),
  metadata: words.exactOptional(),
});

const vmSchema = z.strictObject({
  record: vmRecordSchema,
  hostId: z.string(),
  settled: z.enum([
    'creating',
    'created',
    'running',
    'stopped',
    'paused',
    'suspended',
    'destroyed',
    'expunged',
    'error',
  ]),
  stateReason: z.string(),
  operationId: z.string(),
  updateTime: time,
  purgeTime: time,
});

const argsSchema = z.discriminatedUnion('kind', [
  z.strictObject({
    kind: z.literal('vm.create'),
    record: vmRecordSchema,
    start: z.boolean(),
    source: z
      .strictObject({ record: vmRecordSchema, hostId: z.string(), snapshot: z.string(), name: z.string() })
      .exactOptional(),
  }),
  z.strictObject({ kind: z.literal('vm.start') }),
  z.strictObject({
    kind: z.literal('vm.stop'),
    force: z.boolean(),
    timeoutSeconds: z.number().nonnegative(),
    onTimeout: z.enum(['keep-running', 'force-off']),
  }),
  z.strictObject({ kind: z.literal('vm.reboot'), force: z.boolean() }),
  z.strictObject({ kind: z.literal('vm.delete'), force: z.boolean() }),
  z.strictObject({ kind: z.literal('vm.expunge'), force: z.boolean() }),
  z.strictObject({
    kind: z.literal('vm.update'),
    changes: z.strictObject({
      name: z.string().exactOptional(),
      displayName: z.string().exactOptional(),
      description: z.string().exactOptional(),
      labels: words.exactOptional(),
      spec: vmSpecSchema.exactOptional(),
      deleteVolumes: z.boolean().exactOptional(),
      autostart: z.boolean().exactOptional(),
      deleteProtection: z.boolean().exactOptional(),
    }),
  }),
  z.strictObject({ kind: z.literal('vm.undelete') }),
  z.strictObject({ kind: z.literal('snapshot.create'), wish: snapshotWishSchema }),
  z.strictObject({
    kind: z.literal('snapshot.revert'),
    snapshot: z.string(),
    name: z.string(),
    memory: z.boolean(),
  }),
  z.strictObject({ kind: z.literal('snapshot.delete'), snapshot: z.string(), name: z.string() }),
  z.strictObject({
    kind: z.literal('snapshot.update'),
    snapshot: z.string(),
    name: z.string(),
    changes: z.strictObject({
      name: z.string().exactOptional(),
      description: z.string().exactOptional(),
      tags: words.exactOptional(),
    }),
  }),
  z.strictObject({ kind: z.literal('snapshot.flatten'), disks: z.array(z.string()) }),
  z.strictObject({ kind: z.literal('vm.pause') }),
  z.strictObject({ kind: z.literal('vm.resume') }),
  z.strictObject({ kind: z.literal('vm.suspend') }),
  z.strictObject({ kind: z.literal('vm.nmi') }),
  z.strictObject({ kind: z.literal('vm.rebuild'), spec: vmSpecSchema }),
  z.strictObject({ kind: z.literal('image.delete') }),
]);

const operationState = z.enum(['pending', 'running', 'undoing', 'succeeded', 'failed', 'cancelled']);

const eventDraftSchema = z.strictObject({
  key: z.string(),
  time,
  kind: z.string(),
  target: z.string(),
  targetName: z.string(),
  host: z.string(),
  actor: z.string(),
  message: z.string(),
  operation: z.string(),
  metadata: words,
});

const operationSchema = z.strictObject({
  id: z.string(),
  kind: z.string(),
  args: argsSchema,
  target: z.string(),
  targetName: z.string(),
  state: operationState,
  percent: z.number(),
  detail: z.string(),
  steps: z.array(
    z.strictObject({ name: z.string(), state: operationState, detail: z.string(), startTime: time, endTime: time }),
  ),
  error: errorSchema.optional(),
  cancelRequested: z.boolean(),
  createdBy: z.string(),
  requestId: z.string(),
  requestHash: z.string(),
  createTime: time,
  endTime: time,
  placement: z.strictObject({ hostId: z.string(), score: z.number(), rejected: words }).optional(),
  cursor: z.strictObject({
    step: z.string(),
    attempt: z.int().nonnegative(),
    hostId: z.string(),
    waiting: z.enum(['', 'command', 'retry']),
    notBefore: time,
  }),
  outbox: z.array(eventDraftSchema),
});

/** Facts are what an agent of an older or newer version told: keys that this version does not know are left out. */
const factsSchema = z.object({
  hostname: z.string(),
  machineId: z.string(),
  os: z.string(),
  kernel: z.string(),
  arch: z.string(),
  cpuModel: z.string(),
  cpus: z.number(),
  memoryBytes: z.number(),
  libvirtVersion: z.string(),
  qemuVersion: z.string(),
  accelerator: z.enum(['kvm', 'tcg']),
  acceleratorReason: z.string(),
  cpuModels: z.array(z.string()),
  bridges: z.array(z.string()),
  pools: z.array(
    z.object({
      name: z.string(),
      type: z.string(),
      path: z.string(),
      shared: z.boolean(),
      capacityBytes: z.number(),
      availableBytes: z.number(),
      active: z.boolean(),
      domain: z.string(),
    }),
  ),
  defaultPool: z.string(),
  defaultBridge: z.string(),
  agentVersion: z.string(),
  uefi: z.boolean(),
});

const hostSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  tags: z.array(z.string()),
  schedulable: z.boolean(),
  createTime: time,
  joinSecret: z.strictObject({ hash: z.string(), expireTime: time }).optional(),
  certificateSerial: z.string(),
  certificateExpireTime: time,
  nextCertificate: z.strictObject({ serial: z.string(), expireTime: time }).optional(),
  facts: factsSchema.optional(),
  seenTime: time,
  eventSequence: z.int().nonnegative(),
});

const imageSchema = z.strictObject({
  id: z.string(),
  name: z.string(),
  displayName: z.string(),
  description: z.string(),
  format: imageFormatSchema,
  osType: z.enum(['linux', 'windows', 'other']),
  state: z.enum(['uploading', 'ready', 'error']),
  stateReason: z.string(),
  fileBytes: z.number().nonnegative(),
  virtualSizeBytes: z.number().nonnegative(),
  sha256: z.string(),
  requestId: z.string(),
  createTime: time,
  defaults: imageDefaultsSchema.exactOptional(),
});

const tokenSchema = z.strictObject({
  name: z.string(),
  role: z.enum(['viewer', 'operator', 'admin']),
  hash: z.string(),
  createTime: time,
  expireTime: time,
});

export const DOCUMENT_SCHEMAS: Readonly<Record<DocumentKind, z.ZodType>> = {
  vm: vmSchema,
  operation: operationSchema,
  host: hostSchema,
  image: imageSchema,
  token: tokenSchema,
};
