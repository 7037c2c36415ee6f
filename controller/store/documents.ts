import { OstlerError } from '../../proto/kit/errors.js';
import type { DocumentKind, Documents } from '../core/model.js';
import type { Store, Stored, Write } from './store.js';

export const DOCUMENT_KINDS = ['vm', 'operation', 'host', 'image', 'token'] as const satisfies readonly DocumentKind[];

/** Ids become file names: no slash, no leading dot. */
const ID_PATTERN = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

type Changed = readonly { readonly kind: DocumentKind; readonly id: string }[];

/** The in-memory side that every store has: documents by kind and id, checks, subscribers. */
export interface DocumentTable {
  readonly revision: number;
  get: Store['get'];
  list: Store['list'];
  subscribe: Store['subscribe'];
  /** STALE_ETAG naming the first document whose revision is not the expected one; INVALID_FIELD for a bad or double id. */
  check(writes: readonly Write[]): void;
  /** Makes the writes visible as one revision and tells the subscribers. */
  apply(writes: readonly Write[], revision: number): void;
  /** While opening: what the disk has. */
  load<K extends DocumentKind>(kind: K, stored: Stored<Documents[K]>): void;
  /** While opening: a revision that no document carries any more. */
  advanceTo(revision: number): void;
}

export function createDocumentTable(): DocumentTable {
  const tables = new Map<DocumentKind, Map<string, Stored<Documents[DocumentKind]>>>(
    DOCUMENT_KINDS.map((kind) => [kind, new Map()]),
  );
  const tableOf = <K extends DocumentKind>(kind: K): Map<string, Stored<Documents[K]>> =>
    tables.get(kind) as Map<string, Stored<Documents[K]>>;
  const listeners = new Set<(changed: Changed) => void>();
  let revision = 0;
  return {
    get revision() {
      return revision;
    },
    get: (kind, id) => tableOf(kind).get(id),
    list: (kind) => tableOf(kind).values(),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    check: (writes) => {
      const seen = new Set<string>();
      for (const { kind, id, expect } of writes) {
        checkId(kind, id, seen);
        const present = tableOf(kind).get(id)?.revision ?? 0;
        if (present !== expect) throw staleEtag(kind, id, expect, present);
      }
    },
    apply: (writes, next) => {
      for (const write of writes) {
        if ('remove' in write) tableOf(write.kind).delete(write.id);
        else tableOf(write.kind).set(write.id, freeze({ id: write.id, revision: next, value: write.put }));
      }
      revision = next;
      const changed = writes.map(({ kind, id }) => ({ kind, id }));
      for (const listener of listeners) listener(changed);
    },
    load: (kind, stored) => {
      tableOf(kind).set(stored.id, freeze(stored));
      revision = Math.max(revision, stored.revision);
    },
    advanceTo: (next) => {
      revision = Math.max(revision, next);
    },
  };
}

function checkId(kind: DocumentKind, id: string, seen: Set<string>): void {
  if (!ID_PATTERN.test(id)) {
    throw new OstlerError('INVALID_FIELD', `${kind} ${JSON.stringify(id)}: is not an id that can be stored`, {
      field: 'id',
    });
  }
  const key = `${kind}/${id}`;
  if (seen.has(key)) throw new OstlerError('INTERNAL', `One commit writes ${key} twice.`);
  seen.add(key);
}

function staleEtag(kind: DocumentKind, id: string, expect: number, present: number): OstlerError {
  const now = present === 0 ? 'it does not exist' : `it is at ${present}`;
  const wanted = expect === 0 ? 'was to be new' : `was expected at revision ${expect}`;
  return new OstlerError('STALE_ETAG', `${kind} ${id} ${wanted}, but ${now}: somebody else changed it.`, {
    remedy: 'Read it again and repeat the change.',
    metadata: { kind, id, expected: String(expect), present: String(present) },
  });
}

/** Deep: a document can be handed to anybody. */
function freeze<T>(value: T): T {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value;
  for (const inner of Object.values(value)) freeze(inner);
  return Object.freeze(value);
}
