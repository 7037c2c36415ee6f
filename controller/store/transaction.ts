import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { FaultPoint } from '../../proto/kit/fault.js';
import { badFile, parseDocument } from './document-file.js';
import { DOCUMENT_KINDS } from './documents.js';
import { replaceFile } from './durable.js';
import type { Write } from './store.js';

/** The last commit of several documents, or with a removal: the write-ahead file. It is replaced, never removed. */
export interface Transaction {
  readonly revision: number;
  readonly writes: readonly Write[];
}

const FILE = 'transaction.json';

const schema = z.strictObject({
  format: z.literal(1),
  revision: z.int().positive(),
  writes: z.array(
    z.strictObject({
      kind: z.enum(DOCUMENT_KINDS),
      id: z.string(),
      expect: z.int().nonnegative(),
      put: z.unknown().optional(),
      remove: z.literal(true).exactOptional(),
    }),
  ),
});

/** With this on disk the commit has happened: what is missing of it in the documents is put there when the store opens. */
export async function writeTransaction(directory: string, transaction: Transaction, fault: FaultPoint): Promise<void> {
  await replaceFile(directory, FILE, `${JSON.stringify({ format: 1, ...transaction })}\n`, fault);
}

export async function readTransaction(directory: string): Promise<Transaction | undefined> {
  const path = join(directory, FILE);
  let raw: unknown;
  try {
    raw = JSON.parse(await readFile(path, 'utf8'));
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw badFile(path, (error as Error).message, error);
  }
  const result = schema.safeParse(raw);
  if (!result.success) throw badFile(path, result.error.issues[0]?.message ?? 'it does not parse');
  const writes = result.data.writes.map(({ kind, id, expect, put, remove }) =>
    remove === true ? { kind, id, expect, remove } : { kind, id, expect, put: parseDocument(kind, put, path) },
  );
  return { revision: result.data.revision, writes: writes as Write[] };
}

export const TRANSACTION_FILE = FILE;
