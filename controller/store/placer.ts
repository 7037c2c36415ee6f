import { join } from 'node:path';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { DocumentKind } from '../core/model.js';
import { removeDocument, writeDocument } from './document-file.js';
import { syncDirectory } from './durable.js';
import type { Write } from './store.js';
import type { Transaction } from './transaction-log.js';

/** Brings the documents' files up to the transactions that have happened. */
export interface Placer {
  /** The last try failed. */
  readonly failed: boolean;
  add(transaction: Transaction): void;
  /** All that was added, newest state only, all files at once: the disk joins their flushes. Durable when it resolves. */
  place(): Promise<void>;
}

export function createPlacer(root: string, fault: FaultPoint): Placer {
  const directoryOf = (kind: DocumentKind): string => join(root, kind);
  const waiting = new Map<string, { readonly write: Write; readonly revision: number }>();
  let failed = false;
  let turn: Promise<void> = Promise.resolve();

  async function placeOne(write: Write, revision: number): Promise<void> {
    const { kind, id } = write;
    if ('remove' in write) await removeDocument(directoryOf(kind), id);
    else await writeDocument(directoryOf(kind), { format: 1, kind, id, revision, value: write.put }, fault);
    fault('store.document-written');
  }

  async function placeAll(): Promise<void> {
    const batch = [...waiting];
    // To the end of all of them, whatever one does: none may still be writing when they are tried again.
    const results = await Promise.allSettled(batch.map(([, { write, revision }]) => placeOne(write, revision)));
    for (const result of results) if (result.status === 'rejected') throw result.reason;
    const emptied = new Set(batch.filter(([, { write }]) => 'remove' in write).map(([, { write }]) => write.kind));
    for (const kind of emptied) await syncDirectory(directoryOf(kind));
    for (const [key, placed] of batch) if (waiting.get(key) === placed) waiting.delete(key);
  }

  return {
    get failed() {
      return failed;
    },
    add({ revision, writes }) {
      for (const write of writes) waiting.set(`${write.kind}/${write.id}`, { write, revision });
    },
    place() {
      // One after another: two of them would write the same temporary file.
      const placed = turn.then(placeAll);
      turn = placed.then(
        () => void (failed = false),
        () => void (failed = true),
      );
      return placed;
    },
  };
}
