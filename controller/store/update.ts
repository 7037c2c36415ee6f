import { OstlerError } from '../../proto/kit/errors.js';
import type { DocumentKind, Documents } from '../core/model.js';
import type { Store, Write } from './store.js';

const ROUNDS = 20;

/**
 * Reads, changes and writes one document, again when somebody else was faster. `change` returns undefined to leave it as it
 * is. Resolves to the value that is stored afterwards; undefined when there is no such document.
 */
export async function updateDocument<K extends DocumentKind>(
  store: Store,
  kind: K,
  id: string,
  change: (value: Documents[K]) => Documents[K] | undefined,
): Promise<Documents[K] | undefined> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const stored = store.get(kind, id);
    if (stored === undefined) return undefined;
    const put = change(stored.value);
    if (put === undefined) return stored.value;
    try {
      await store.commit([{ kind, id, expect: stored.revision, put } as Write]);
      return put;
    } catch (error) {
      if (!(error instanceof OstlerError) || error.code !== 'STALE_ETAG') throw error;
    }
  }
  throw new OstlerError('STORE_ERROR', `${kind} ${id} changed ${ROUNDS} times while it was written.`);
}
