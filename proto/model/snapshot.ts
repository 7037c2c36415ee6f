import { z } from 'zod';
import { descriptionSchema, displayNameSchema, labelsSchema, textSchema } from './names.js';
import { deviceNameSchema } from './vm.js';

/** `snap-` and ten characters of base 32. */
export const snapshotIdSchema = z
  .string()
  .regex(/^snap-[0-9a-hjkmnp-tv-z]{10,16}$/, 'is not a snapshot id made by this system');

/** For people, unique in the VM; no slash, so that it can stand in a path of an address. */
export const snapshotNameSchema = displayNameSchema
  .max(64, 'is longer than 64 characters')
  .refine((name) => !name.startsWith('-') && !name.includes('/'), 'begins with a hyphen or has a slash')
  .refine((name) => name === name.trim(), 'begins or ends with white space');

/** What is asked for; complete and parsed. */
export const snapshotWishSchema = z.strictObject({
  id: snapshotIdSchema,
  name: snapshotNameSchema,
  description: descriptionSchema,
  tags: labelsSchema,
  /** Empty: the boot disk, or all disks with memory. */
  disks: z.array(deviceNameSchema).max(32),
  memory: z.boolean(),
  quiesce: z.boolean(),
});

export const snapshotSchema = z.strictObject({
  id: textSchema(64),
  name: textSchema(128),
  description: textSchema(1024),
  tags: z.record(z.string(), z.string()),
  /** Id; empty: a root. */
  parent: z.string(),
  time: z.number(),
  state: z.enum(['creating', 'ready', 'deleting']),
  disks: z.array(
    z.strictObject({
      name: z.string(),
      file: z.string(),
      sizeBytes: z.number().nonnegative(),
      /** Bytes that its file takes: what was written between its parent and it. */
      deltaBytes: z.number().nonnegative(),
    }),
  ),
  memory: z.boolean(),
  memoryBytes: z.number().nonnegative(),
  quiesced: z.boolean(),
});

export type SnapshotWish = z.infer<typeof snapshotWishSchema>;
export type Snapshot = z.infer<typeof snapshotSchema>;

export interface SnapshotList {
  readonly snapshots: readonly Snapshot[];
  /** Id of the snapshot that the present grew from; empty: none. */
  readonly now: string;
  /** Bytes that the present's own files take: what was written since. */
  readonly changedBytes: number;
}

/** An absent field stays as it is. */
export interface SnapshotChanges {
  readonly name?: string;
  readonly description?: string;
  readonly tags?: Readonly<Record<string, string>>;
}
