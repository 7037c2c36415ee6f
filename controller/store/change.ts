import { OstlerError } from '../../proto/kit/errors.js';
import type { DocumentKind, Documents } from '../core/model.js';
import type { Store, Stored, Write } from './store.js';

const ATTEMPTS = 8;

/**
 * Reads, changes and writes one document, again when somebody else was faster: for changes that are right whatever the
 * others wrote. `change` returning the same object writes nothing. NOT_FOUND when the document is not there.
 */
export async function changeDocument<K extends DocumentKind>(
  store: Store,
  kind: K,
  id: string,
  change: (value: Documents[K]) => Documents[K],
): Promise<Stored<Documents[K]>> {
  for (let attempt = 1; ; attempt += 1) {
    const stored = store.get(kind, id);
    if (stored === undefined) throw new OstlerError('NOT_FOUND', `There is no ${kind} ${id} any more.`);
    const next = change(stored.value);
    if (next === stored.value) return stored;
    try {
      const revision = await store.commit([{ kind, id, expect: stored.revision, put: next } as Write]);
      return { id, revision, value: next };
    } catch (error) {
      const stale = error instanceof OstlerError && error.code === 'STALE_ETAG';
      if (!stale || attempt === ATTEMPTS) throw error;
    }
  }
}
