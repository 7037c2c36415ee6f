import { OstlerError } from '../../proto/kit/errors.js';
import { createDocumentTable } from './documents.js';
import type { Store } from './store.js';

/** A store that forgets everything at the end of the process: for tests and the simulator. */
export function createMemoryStore(): Store {
  const table = createDocumentTable();
  let closed = false;
  return {
    get revision() {
      return table.revision;
    },
    get: table.get,
    list: table.list,
    subscribe: table.subscribe,
    // eslint-disable-next-line @typescript-eslint/require-await -- the interface's promise; a throw must be a rejection
    commit: async (writes) => {
      if (closed) throw new OstlerError('STORE_ERROR', 'The store is closed.');
      table.check(writes);
      const revision = table.revision + 1;
      table.apply(structuredClone(writes), revision);
      return revision;
    },
    close: () => {
      closed = true;
      return Promise.resolve();
    },
  };
}
