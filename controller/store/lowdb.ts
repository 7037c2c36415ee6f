import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { DocumentKind } from '../core/model.js';
import { badFile, parseDocument, readDocument, removeDocument, writeDocument } from './document-file.js';
import { createDocumentTable, DOCUMENT_KINDS, type DocumentTable } from './documents.js';
import { syncDirectory, TEMPORARY, UncertainWrite } from './durable.js';
import { lockFile } from './lock-file.js';
import type { Store, Write } from './store.js';
import { readTransaction, TRANSACTION_FILE, writeTransaction, type Transaction } from './transaction.js';

export interface StoreOptions {
  /** The documents are below `store/` in it: `store/<kind>/<id>.json`. */
  readonly dataDir: string;
}

const LOCK_FILE = 'lock';

/**
 * The embedded store: one JSON file a document, all of them in memory.
 *
 * A commit of one document is one durable replacement of its file. Any other commit is written to `transaction.json` first;
 * from then on it has happened, and a start after a crash puts into the documents what is missing. The file of the last such
 * commit stays; applying it again changes nothing, because a document is only touched when its own revision is older, and
 * because a removal always goes through that file and so replaces it. It also carries the revision when the newest document
 * is gone.
 */
export async function openStore(options: StoreOptions, deps: { readonly fault?: FaultPoint } = {}): Promise<Store> {
  const fault = deps.fault ?? noFaults;
  const root = join(options.dataDir, 'store');
  const directoryOf = (kind: DocumentKind): string => join(root, kind);
  for (const kind of DOCUMENT_KINDS) await mkdir(directoryOf(kind), { recursive: true, mode: 0o700 });
  await syncDirectory(options.dataDir);
  await syncDirectory(root);
  const lock = await lockFile(join(root, LOCK_FILE));
  const table = createDocumentTable();
  try {
    await refuseForeign(root);
    for (const kind of DOCUMENT_KINDS) await loadKind(directoryOf(kind), kind, table);
    const last = await readTransaction(root);
    if (last !== undefined) await replay(last, table, (writes) => putDocuments(writes, last.revision));
  } catch (error) {
    await lock.close();
    throw error;
  }

  /** Puts the documents of a commit in place, with one flush of each directory. */
  async function putDocuments(writes: readonly Write[], revision: number): Promise<void> {
    for (const write of writes) {
      const { kind, id } = write;
      if ('remove' in write) await removeDocument(directoryOf(kind), id);
      else await writeDocument(directoryOf(kind), { format: 1, kind, id, revision, value: write.put }, fault);
      fault('store.document-written');
    }
    const emptied = new Set(writes.filter((write) => 'remove' in write).map((write) => write.kind));
    for (const kind of emptied) await syncDirectory(directoryOf(kind));
  }

  /** A commit that has happened by its transaction file, while its documents could not be put in place. */
  let unfinished: Transaction | undefined;
  let broken: OstlerError | undefined;

  async function commitNow(writes: readonly Write[]): Promise<number> {
    if (broken !== undefined) throw broken;
    table.check(writes);
    // What could not be read again must not get in: it would keep the next start from opening the store.
    for (const write of writes) if ('put' in write) parseDocument(write.kind, write.put, `${write.kind} ${write.id}`);
    await finishEarlier();
    const revision = table.revision + 1;
    const [first] = writes;
    if (first === undefined) return table.revision;
    fault('store.committing');
    if (writes.length === 1 && 'put' in first) await decide(() => putDocuments(writes, revision));
    else {
      await decide(() => writeTransaction(root, { revision, writes }, fault));
      fault('store.transaction-written');
      try {
        await putDocuments(writes, revision);
      } catch {
        // It is durable all the same; the documents are caught up with before the next commit or at the next start.
        unfinished = { revision, writes };
      }
    }
    fault('store.committed');
    table.apply(writes, revision);
    return revision;
  }

  async function finishEarlier(): Promise<void> {
    if (unfinished === undefined) return;
    const { writes, revision } = unfinished;
    try {
      await putDocuments(writes, revision);
    } catch (error) {
      throw diskError(error);
    }
    unfinished = undefined;
  }

  /**
   * The write that decides a commit. A failure before the rename leaves the old state. After it nobody knows what the disk
   * has, so nothing more is written until the store is opened anew and looks.
   */
  async function decide(write: () => Promise<void>): Promise<void> {
    try {
      await write();
    } catch (error) {
      const refused = diskError(error);
      if (error instanceof UncertainWrite) broken = refused;
      throw refused;
    }
  }

  let tail: Promise<unknown> = Promise.resolve();
  return {
    get revision() {
      return table.revision;
    },
    get: table.get,
    list: table.list,
    subscribe: table.subscribe,
    commit: (writes) => {
      // A copy: what the caller does to its objects meanwhile must not get into the store.
      const own = structuredClone(writes);
      const result = tail.then(() => commitNow(own));
      tail = result.catch(() => undefined);
      return result;
    },
    close: async () => {
      await tail;
      broken = new OstlerError('STORE_ERROR', 'The store is closed.');
      await lock.close();
    },
  };
}

async function loadKind(directory: string, kind: DocumentKind, table: DocumentTable): Promise<void> {
  for (const name of (await readdir(directory)).sort()) {
    // What a crash left of a write that had not happened yet.
    if (name.endsWith(TEMPORARY)) await rm(`${directory}/${name}`, { force: true });
    else if (!name.endsWith('.json')) throw badFile(`${directory}/${name}`, 'it is not a file of the store');
    else table.load(kind, await readDocument(directory, kind, name));
  }
}

async function refuseForeign(root: string): Promise<void> {
  const known = new Set<string>([...DOCUMENT_KINDS, LOCK_FILE, TRANSACTION_FILE, `${TRANSACTION_FILE}${TEMPORARY}`]);
  for (const name of await readdir(root)) {
    if (!known.has(name)) throw badFile(join(root, name), 'it is not a file of the store');
  }
}

/** Brings the documents up to the last transaction. */
async function replay(
  transaction: Transaction,
  table: DocumentTable,
  put: (writes: readonly Write[]) => Promise<void>,
): Promise<void> {
  const { revision } = transaction;
  const missing = transaction.writes.filter((write) => {
    const present = table.get(write.kind, write.id)?.revision;
    return 'remove' in write ? present !== undefined && present < revision : (present ?? 0) < revision;
  });
  if (missing.length > 0) {
    await put(missing);
    table.apply(missing, revision);
  }
  table.advanceTo(revision);
}

function diskError(error: unknown): OstlerError {
  return new OstlerError('STORE_ERROR', `The store cannot be written: ${(error as Error).message}`, {
    remedy: 'Make room on the disk of the data directory, or look at its health, then restart the controller.',
    cause: error,
  });
}
