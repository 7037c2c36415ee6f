import { readdirSync, readFileSync, rmSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { idSchema, nameSchema, tagSchema } from '../../proto/model/names.js';
import { removeDurably, writeDurably } from '../files.js';

const entrySchema = z.strictObject({
  id: idSchema,
  name: nameSchema,
  tags: z.array(tagSchema),
  schedulable: z.boolean(),
  serial: z.string().regex(/^[0-9a-f]+$/),
  expireTime: z.int(),
  createTime: z.int(),
});

/** A host that joined: what its record is made of again when the store is lost. */
export type RegisterEntry = z.infer<typeof entrySchema>;

/**
 * The CA's own list of the certificates that count, one file a host, beside the CA's key and apart from the store. A host
 * that was deleted is not in it, and of a host that joined anew only the last certificate is: so a lost store never
 * brings back what was revoked.
 */
export interface Register {
  get(hostId: string): RegisterEntry | undefined;
  list(): readonly RegisterEntry[];
  put(entry: RegisterEntry): Promise<void>;
  remove(hostId: string): Promise<void>;
}

export async function openRegister(folder: string): Promise<Register> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const entries = new Map<string, RegisterEntry>();
  for (const file of readdirSync(folder)) {
    // Left behind by a write that a crash cut short.
    if (file.endsWith('.new')) rmSync(join(folder, file), { force: true });
    if (!file.endsWith('.json')) continue;
    const entry = entrySchema.parse(JSON.parse(readFileSync(join(folder, file), 'utf8')));
    entries.set(entry.id, entry);
  }
  const pathOf = (hostId: string): string => join(folder, `${idSchema.parse(hostId)}.json`);
  return {
    get: (hostId) => entries.get(hostId),
    list: () => [...entries.values()],
    put: async (entry) => {
      await writeDurably(pathOf(entry.id), JSON.stringify(entrySchema.parse(entry), undefined, 2) + '\n', 0o600);
      entries.set(entry.id, entry);
    },
    remove: async (hostId) => {
      await removeDurably(pathOf(hostId));
      entries.delete(hostId);
    },
  };
}
