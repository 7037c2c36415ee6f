import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { DocumentKind } from '../core/model.js';
import { badFile, parseDocument, readDocument } from './document-file.js';
import { createPlacer } from './placer.js';
import { createDocumentTable, DOCUMENT_KINDS, type DocumentTable } from './documents.js';
import { syncDirectory, TEMPORARY, UncertainWrite } from './durable.js';
import { lockFile } from './lock-file.js';
import type { Store, Write } from './store.js';
import { openTransactionLog, TRANSACTION_FILE, type Transaction, type TransactionLog } from './transaction-log.js';

export interface StoreOptions {
  /** The documents are below `store/` in it: `store/<kind>/<id>.json`. */
  readonly dataDir: string;
  /** How long a document may change again before it is written to its file, milliseconds; default 500. */
  readonly settleMs?: number;
}

const SETTLE_MS = 500;
/** A log beyond this size begins anew: it is read whole at a start. */
const LOG_BYTES = 1 << 20;

const LOCK_FILE = 'lock';

/**
 * The embedded store: one JSON file a document, all of them in memory.
 *
 * A commit is one line of the transaction log: once that is flushed it has happened and the caller is answered. The documents
 * follow together a moment later, so that one which changes three times in a row (an operation) is written once, and an
 * answer waits for one flush instead of six. A start after a crash puts in place what is missing. Applying a transaction again
 * changes nothing, because a document is only touched when its own revision is older. The log begins anew when all its
 * documents are in place; its last transaction stays, because it carries the revision when the newest document is gone.
 */
export async function openStore(options: StoreOptions, deps: { readonly fault?: FaultPoint } = {}): Promise<Store> {
  const fault = deps.fault ?? noFaults;
  const { settleMs = SETTLE_MS } = options;
  const root = join(options.dataDir, 'store');
  for (const kind of DOCUMENT_KINDS) await mkdir(join(root, kind), { recursive: true, mode: 0o700 });
  await syncDirectory(options.dataDir);
  await syncDirectory(root);
  const lock = await lockFile(join(root, LOCK_FILE));
  const table = createDocumentTable();
  const placer = createPlacer(root, fault);
  let log: TransactionLog;
  /** The newest transaction: what the log begins anew with. */
  let last: Transaction | undefined;
  try {
    await refuseForeign(root);
    for (const kind of DOCUMENT_KINDS) await loadKind(join(root, kind), kind, table);
    const opened = await openTransactionLog(root);
    ({ log } = opened);
    for (const transaction of opened.transactions) placer.add(replay(transaction, table));
    last = opened.transactions.at(-1);
    await placer.place();
  } catch (error) {
    await lock.close();
    throw error;
  }

  let broken: OstlerError | undefined;
  let timer: NodeJS.Timeout | undefined;
  let tail: Promise<unknown> = Promise.resolve();
  const inTurn = <T>(work: () => Promise<T>): Promise<T> => {
    const result = tail.then(work);
    tail = result.catch(() => undefined);
    return result;
  };

  /** In turn: a log that has grown begins anew, for which all documents must be in place; so do those that failed before. */
  async function settle(): Promise<void> {
    try {
      await placer.place();
    } catch (error) {
      // Nothing is lost: it is tried again before the next commit, which is refused as long as it fails.
      throw diskError(error);
    }
    if (last === undefined || log.size <= LOG_BYTES) return;
    const first = last;
    await decide(() => log.restart(first));
  }

  async function commitNow(writes: readonly Write[]): Promise<number> {
    if (broken !== undefined) throw broken;
    table.check(writes);
    // What could not be read again must not get in: it would keep the next start from opening the store.
    for (const write of writes) if ('put' in write) parseDocument(write.kind, write.put, `${write.kind} ${write.id}`);
    if (placer.failed || log.size > LOG_BYTES) await settle();
    if (writes.length === 0) return table.revision;
    const transaction = { revision: table.revision + 1, writes };
    fault('store.committing');
    await decide(() => log.append(transaction));
    fault('store.committed');
    last = transaction;
    placer.add(transaction);
    table.apply(writes, transaction.revision);
    timer ??= setTimeout(() => {
      timer = undefined;
      placer.place().catch(() => undefined);
    }, settleMs);
    return transaction.revision;
  }

  /**
   * The write that decides a commit. After one that failed half-way nobody knows what the disk has, so nothing more is
   * written until the store is opened anew and looks.
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
      return inTurn(() => commitNow(own));
    },
    close: async () => {
      clearTimeout(timer);
      await inTurn(settle).catch(() => undefined);
      broken = new OstlerError('STORE_ERROR', 'The store is closed.');
      await log.close();
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

/** Brings the table up to a transaction; returns what of it is not in the documents. */
function replay({ revision, writes }: Transaction, table: DocumentTable): Transaction {
  const missing = writes.filter((write) => {
    const present = table.get(write.kind, write.id)?.revision;
    return 'remove' in write ? present !== undefined && present < revision : (present ?? 0) < revision;
  });
  if (missing.length > 0) table.apply(missing, revision);
  table.advanceTo(revision);
  return { revision, writes: missing };
}

function diskError(error: unknown): OstlerError {
  return new OstlerError('STORE_ERROR', `The store cannot be written: ${(error as Error).message}`, {
    remedy: 'Make room on the disk of the data directory, or look at its health, then restart the controller.',
    cause: error,
  });
}
