import { join } from 'node:path';
import { z } from 'zod';
import { openLineFile, UncertainLines } from '../../proto/kit/line-file.js';
import { badFile, parseDocument } from './document-file.js';
import { DOCUMENT_KINDS } from './documents.js';
import { UncertainWrite } from './durable.js';
import type { Write } from './store.js';

/** One commit. */
export interface Transaction {
  readonly revision: number;
  readonly writes: readonly Write[];
}

/**
 * The write-ahead log: with its line on disk a commit has happened. The documents follow; what a crash kept from following is
 * put in place from here when the store opens.
 */
export interface TransactionLog {
  /** Bytes. */
  readonly size: number;
  /** Durable when it resolves. Rejects with UncertainWrite when nobody knows, with anything else when it has not happened. */
  append(transaction: Transaction): Promise<void>;
  /** Begins anew with this one alone: it carries the revision on, and the documents of all others must be in place. */
  restart(last: Transaction): Promise<void>;
  close(): Promise<void>;
}

export const TRANSACTION_FILE = 'transactions.jsonl';

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

/** STORE_ERROR naming the line that does not parse; only half a line at the end is what a crash may leave, and is dropped. */
export async function openTransactionLog(
  directory: string,
): Promise<{ readonly log: TransactionLog; readonly transactions: readonly Transaction[] }> {
  const path = join(directory, TRANSACTION_FILE);
  const { file, lines } = await openLineFile(path);
  const certain = async (work: Promise<void>): Promise<void> => {
    try {
      await work;
    } catch (error) {
      if (error instanceof UncertainLines) throw new UncertainWrite(error.message, { cause: error });
      throw error;
    }
  };
  const log: TransactionLog = {
    get size() {
      return file.size;
    },
    append: (transaction) => certain(file.append(lineOf(transaction))),
    restart: (last) => certain(file.rewrite(() => [lineOf(last)])),
    close: () => file.close(),
  };
  try {
    return { log, transactions: lines.map((line, index) => parse(line, `${path}, line ${index + 1}`)) };
  } catch (error) {
    await file.close();
    throw error;
  }
}

function lineOf(transaction: Transaction): string {
  return JSON.stringify({ format: 1, ...transaction });
}

function parse(line: string, place: string): Transaction {
  let raw: unknown;
  try {
    raw = JSON.parse(line);
  } catch (error) {
    throw badFile(place, (error as Error).message, error);
  }
  const result = schema.safeParse(raw);
  if (!result.success) throw badFile(place, result.error.issues[0]?.message ?? 'it does not parse');
  const writes = result.data.writes.map(({ kind, id, expect, put, remove }) =>
    remove === true ? { kind, id, expect, remove } : { kind, id, expect, put: parseDocument(kind, put, place) },
  );
  return { revision: result.data.revision, writes: writes as Write[] };
}
