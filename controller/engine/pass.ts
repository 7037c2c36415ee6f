import type { Log } from '../../proto/kit/log.js';

/**
 * One pass: what was touched since the last one is stepped (observe → step → commit → execute). Passes never overlap; a kick
 * during a pass makes another one follow. An operation that cannot be stepped now (the disk refuses) does not hold up the
 * others and is tried again at the next tick.
 */
export interface PassQueue {
  touchOperation(id: string): void;
  touchHost(id: string): void;
  run(): Promise<void>;
}

export function createPassQueue(deps: {
  readonly step: (operationId: string) => Promise<void>;
  readonly reconcile: (hostId: string) => Promise<void>;
  readonly log: Log;
}): PassQueue {
  const operations = new Set<string>();
  const hosts = new Set<string>();

  async function guarded(what: object, work: Promise<void>): Promise<void> {
    try {
      await work;
    } catch (error) {
      deps.log.error({ err: error, ...what }, 'pass: this one has to wait');
    }
  }

  return {
    touchOperation: (id) => void operations.add(id),
    touchHost: (id) => void hosts.add(id),
    run: async () => {
      while (operations.size > 0 || hosts.size > 0) {
        const nowOperations = [...operations].sort();
        const nowHosts = [...hosts].sort();
        operations.clear();
        hosts.clear();
        for (const id of nowOperations) await guarded({ operation: id }, deps.step(id));
        for (const id of nowHosts) await guarded({ host: id }, deps.reconcile(id));
      }
    },
  };
}
