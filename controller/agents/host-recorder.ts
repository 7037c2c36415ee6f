import type { Clock } from '../../proto/kit/clock.js';
import type { Log } from '../../proto/kit/log.js';
import type { HostFacts } from '../../proto/model/host.js';
import type { HostDoc } from '../core/model.js';
import type { EventLog } from '../engine/env.js';
import type { Store } from '../store/store.js';
import { updateDocument } from '../store/update.js';

/** Writes down what is learnt of a host: its facts, when it was seen, that it came and went. Never waited for. */
export interface HostRecorder {
  record(hostId: string, facts: HostFacts | undefined): void;
  seen(hostId: string): void;
  announce(hostId: string, state: 'online' | 'unreachable', reason: string): void;
}

export function createHostRecorder(deps: {
  readonly store: Store;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
}): HostRecorder {
  const { store, events, clock, log } = deps;

  function update(hostId: string, change: (host: HostDoc) => HostDoc): void {
    updateDocument(store, 'host', hostId, change).catch((error: unknown) => {
      log.error({ err: error, host: hostId }, 'what a host told could not be stored');
    });
  }

  return {
    record: (hostId, facts) => {
      const now = clock.now();
      update(hostId, (host) => ({ ...host, facts: facts ?? host.facts, seenTime: now }));
    },
    seen: (hostId) => {
      const now = clock.now();
      update(hostId, (host) => ({ ...host, seenTime: now }));
    },
    announce: (hostId, state, reason) => {
      const name = store.get('host', hostId)?.value.name ?? hostId;
      const message = state === 'online' ? `${name} is online.` : `${name} ${reason}.`;
      events
        .append({
          kind: `host.${state}`,
          target: hostId,
          targetName: name,
          host: name,
          actor: 'controller',
          message,
          operation: '',
          metadata: {},
        })
        .catch((error: unknown) => log.error({ err: error, host: hostId }, 'event of a host could not be stored'));
    },
  };
}
