import type { Clock } from '../../proto/kit/clock.js';
import type { EventLog } from '../engine/env.js';
import { createEventIndex } from './event-index.js';

/** An event log that forgets everything at the end of the process: for tests and the simulator. */
export function createMemoryEventLog(options: { readonly keep?: number }, deps: { readonly clock: Clock }): EventLog {
  const index = createEventIndex();
  return {
    append: (event) => {
      const record = index.prepare(event, index.lastSequence + 1, deps.clock.now());
      if (record !== undefined) {
        index.add([record]);
        index.trim(options.keep ?? 10_000);
      }
      return Promise.resolve();
    },
    list: index.list,
    watch: index.watch,
  };
}
