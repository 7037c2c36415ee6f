import { z } from 'zod';
import type { ChainDocument } from './model.js';

const fileName = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]*$/);
const stateSchema = z.strictObject({
  files: z.record(fileName, z.strictObject({ disk: z.string(), backing: z.string() })),
  current: z.record(z.string(), fileName),
  snapshots: z.array(
    z.strictObject({
      id: z.string(),
      name: z.string(),
      description: z.string(),
      tags: z.record(z.string(), z.string()),
      parent: z.string(),
      time: z.number(),
      state: z.enum(['ready', 'deleting']),
      disks: z.record(z.string(), z.strictObject({ file: fileName, sizeBytes: z.number() })),
      memoryFile: z.union([z.literal(''), fileName]),
      quiesced: z.boolean(),
      hardware: z
        .strictObject({
          vcpus: z.int(),
          maxVcpus: z.int(),
          memoryBytes: z.int(),
          maxMemoryBytes: z.int(),
        })
        .exactOptional(),
    }),
  ),
  now: z.string(),
  counter: z.int().nonnegative(),
});

const pendingSchema = z.discriminatedUnion('kind', [
  z.strictObject({ kind: z.literal('create'), snapshot: z.string(), next: stateSchema }),
  z.strictObject({ kind: z.literal('revert'), snapshot: z.string(), decided: z.boolean(), next: stateSchema }),
  z.strictObject({
    kind: z.literal('commit'),
    disk: z.string(),
    base: fileName,
    top: fileName,
    next: stateSchema,
  }),
  z.strictObject({
    kind: z.literal('pull'),
    disk: z.string(),
    top: fileName,
    backing: z.string(),
    next: stateSchema,
  }),
]);

const documentSchema = z.strictObject({
  version: z.literal(1),
  vmId: z.string(),
  revision: z.int().nonnegative(),
  state: stateSchema,
  pending: pendingSchema.optional(),
  trash: z.array(fileName),
});

/** The document in a file's text, or why it cannot be read, one sentence. */
export function parseChain(
  text: string,
  vmId: string,
): { readonly ok: true; readonly document: ChainDocument } | { readonly ok: false; readonly reason: string } {
  let raw: unknown;
  try {
    raw = JSON.parse(text);
  } catch {
    return { ok: false, reason: 'it is not JSON' };
  }
  const result = documentSchema.safeParse(raw);
  if (!result.success) {
    const [issue] = result.error.issues;
    return { ok: false, reason: `${(issue?.path ?? []).map(String).join('.')}: ${issue?.message ?? 'invalid'}` };
  }
  if (result.data.vmId !== vmId) return { ok: false, reason: `it is of ${result.data.vmId}` };
  return { ok: true, document: { ...result.data, pending: result.data.pending } };
}

export function formatChain(document: ChainDocument): string {
  return `${JSON.stringify(document, null, 1)}\n`;
}
