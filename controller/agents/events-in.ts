import { fromWireTime } from '../../proto/time.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { EventLog, NewEvent } from '../engine/env.js';
import type { Store } from '../store/store.js';
import { updateDocument } from '../store/update.js';

type AgentEvent = ostler.v1.AgentEvent.$Properties;

/**
 * Takes in the agents' events: each once and in order, on disk before it is acknowledged. What comes while the disk is busy
 * goes with the next write.
 */
export interface EventsIn {
  take(hostId: string, event: AgentEvent, acknowledge: (sequence: number) => void): void;
  /** Resolves when everything taken so far is on disk (or failed: then it was not acknowledged and comes again). */
  settled(): Promise<void>;
}

interface Waiting {
  readonly event: AgentEvent;
  readonly acknowledge: (sequence: number) => void;
}

export function createEventsIn(deps: {
  readonly store: Store;
  readonly events: EventLog;
  readonly fault: FaultPoint;
  readonly log: Log;
}): EventsIn {
  const queues = new Map<string, { waiting: Waiting[]; working: Promise<void> | undefined }>();

  async function drain(hostId: string, queue: { waiting: Waiting[]; working: Promise<void> | undefined }) {
    while (queue.waiting.length > 0) {
      const batch = queue.waiting;
      queue.waiting = [];
      try {
        await store(hostId, batch, deps);
        batch.forEach(({ event, acknowledge }) => acknowledge(event.sequence ?? 0));
      } catch (error) {
        // Not acknowledged: the agent sends them again over the next link.
        deps.log.error({ err: error, host: hostId }, 'events of an agent could not be stored');
      }
    }
    queue.working = undefined;
  }

  return {
    take: (hostId, event, acknowledge) => {
      const queue = queues.get(hostId) ?? { waiting: [], working: undefined };
      queues.set(hostId, queue);
      queue.waiting.push({ event, acknowledge });
      queue.working ??= drain(hostId, queue);
    },
    settled: async () => {
      for (const queue of queues.values()) await queue.working;
    },
  };
}

async function store(hostId: string, batch: readonly Waiting[], deps: Parameters<typeof createEventsIn>[0]) {
  const host = deps.store.get('host', hostId)?.value;
  if (host === undefined) return;
  const fresh = batch.map(({ event }) => event).filter((event) => (event.sequence ?? 0) > host.eventSequence);
  if (fresh.length === 0) return;
  await Promise.all(fresh.map((event) => deps.events.append(toRecord(event, hostId, host.name, deps.store))));
  deps.fault('events-in.appended');
  const newest = Math.max(...fresh.map((event) => event.sequence ?? 0));
  await updateDocument(deps.store, 'host', hostId, (value) =>
    value.eventSequence >= newest ? undefined : { ...value, eventSequence: newest },
  );
  deps.fault('events-in.committed');
}

/** The key makes a repeated event the same event, should a crash fall between the log and the sequence number. */
function toRecord(event: AgentEvent, hostId: string, hostName: string, store: Store): NewEvent {
  const time = fromWireTime(event.time);
  const vmId = event.vmId ?? '';
  return {
    key: `${hostId}/${event.sequence ?? 0}/${time ?? 0}`,
    ...(time === undefined ? {} : { time }),
    kind: event.kind ?? '',
    target: vmId === '' ? hostId : vmId,
    targetName: vmId === '' ? hostName : (store.get('vm', vmId)?.value.record.name ?? vmId),
    host: hostName,
    actor: `host:${hostName}`,
    message: event.message ?? '',
    operation: '',
    metadata: { ...event.metadata },
  };
}
