import type { DocumentKind, Documents } from '../core/model.js';

/** A document with the revision at which it was last written. The revision is the resource's etag. */
export interface Stored<T> {
  readonly id: string;
  readonly revision: number;
  readonly value: T;
}

export type Write = {
  readonly [K in DocumentKind]:
    | { readonly kind: K; readonly id: string; readonly expect: number; readonly put: Documents[K] }
    | { readonly kind: K; readonly id: string; readonly expect: number; readonly remove: true };
}[DocumentKind];

/**
 * Where the controller keeps its documents. Reads are synchronous, from memory, and see every committed write.
 * `commit` is atomic over all its writes and durable when it resolves (fsync): each `expect` must be the document's present
 * revision (0: must not exist), else nothing is written and STALE_ETAG is thrown naming the document. Values are frozen:
 * to change one, write a new one. The same contract suite runs on every implementation (test/store/contract.ts).
 */
export interface Store {
  /** Grows by one with every commit. */
  readonly revision: number;
  get<K extends DocumentKind>(kind: K, id: string): Stored<Documents[K]> | undefined;
  list<K extends DocumentKind>(kind: K): Iterable<Stored<Documents[K]>>;
  /** Resolves to the new revision. STORE_ERROR when the disk refuses; then memory still shows the old state. */
  commit(writes: readonly Write[]): Promise<number>;
  /** Called after every commit with the documents that changed. Returns how to stop. */
  subscribe(listener: (changed: readonly { kind: DocumentKind; id: string }[]) => void): () => void;
  close(): Promise<void>;
}

/** The etag that the API hands out for a document. */
export function etagOf(stored: Stored<unknown>): string {
  return String(stored.revision);
}
