/** Subscriptions to events: registered once per kind on the present connection, again after each reconnect. */
import type { Connection } from './connection.js';
import { ConnectionError } from './errors.js';
import type { EventQueue, EventStream } from './event-queue.js';
import { createEventQueue } from './event-queue.js';
import type { EventDefinition, EventFamily, EventKind, LibvirtEvent } from './event-table.js';
import { eventTable } from './event-table.js';
import type { Frame } from './frame.js';
import { PROGRAM } from './procedure.js';
import { decode } from './xdr.js';

export interface SubscribeOptions {
  /** Events that may wait for the reader before older ones are dropped for a `resync`; 4,096. */
  readonly limit?: number;
}

export interface Subscriptions {
  /** Resolves when the daemon has registered every kind; while there is no connection, at once. */
  subscribe<K extends EventKind>(
    kinds: readonly K[],
    options?: SubscribeOptions,
  ): Promise<EventStream<LibvirtEvent<K>>>;
  /** Registers everything on a new connection and tells every reader that events were missed. */
  attach(connection: Connection): Promise<void>;
  detach(): void;
  close(): void;
}

interface Subscriber {
  readonly kinds: ReadonlySet<EventKind>;
  readonly queue: EventQueue<LibvirtEvent>;
}

const definitions = Object.entries(eventTable) as [EventKind, EventDefinition<object>][];
const byNumber = new Map(definitions.map(([kind, d]) => [d.number, { kind, ...d }]));

/** Registering and deregistering, by family. */
const REGISTER: Record<EventFamily, (c: Connection, eventID: number) => Promise<{ callbackID: number }>> = {
  domain: (c, eventID) => c.call('connectDomainEventCallbackRegisterAny', { eventID }),
  network: (c, eventID) => c.call('connectNetworkEventRegisterAny', { eventID }),
  storagePool: (c, eventID) => c.call('connectStoragePoolEventRegisterAny', { eventID }),
  nodeDevice: (c, eventID) => c.call('connectNodeDeviceEventRegisterAny', { eventID }),
  secret: (c, eventID) => c.call('connectSecretEventRegisterAny', { eventID }),
};
const DEREGISTER: Record<EventFamily, (c: Connection, callbackID: number) => Promise<unknown>> = {
  domain: (c, callbackID) => c.call('connectDomainEventCallbackDeregisterAny', { callbackID }),
  network: (c, callbackID) => c.call('connectNetworkEventDeregisterAny', { callbackID }),
  storagePool: (c, callbackID) => c.call('connectStoragePoolEventDeregisterAny', { callbackID }),
  nodeDevice: (c, callbackID) => c.call('connectNodeDeviceEventDeregisterAny', { callbackID }),
  secret: (c, callbackID) => c.call('connectSecretEventDeregisterAny', { callbackID }),
};

export function createSubscriptions(onError: (error: unknown) => void): Subscriptions {
  const subscribers = new Set<Subscriber>();
  let connection: Connection | undefined;
  /** Registrations on the present connection: kind → callback number. */
  let registered = new Map<EventKind, Promise<number>>();
  let closed = false;

  const register = (kind: EventKind): Promise<number> => {
    const known = registered.get(kind);
    if (known !== undefined || connection === undefined) return known ?? Promise.resolve(-1);
    const { family, id } = eventTable[kind];
    const mine = registered;
    const promise = REGISTER[family](connection, id).then((r) => r.callbackID);
    mine.set(kind, promise);
    promise.catch(() => mine.delete(kind));
    return promise;
  };

  const releaseUnused = (): void => {
    const used = new Set([...subscribers].flatMap((s) => [...s.kinds]));
    const c = connection;
    for (const [kind, id] of registered) {
      if (used.has(kind)) continue;
      registered.delete(kind);
      const deregister = async (): Promise<void> => {
        const callbackID = await id;
        if (c?.alive === true) await DEREGISTER[eventTable[kind].family](c, callbackID);
      };
      // The connection may end first, which deregisters, too.
      deregister().catch((e: unknown) => c?.alive === true && onError(e));
    }
  };

  const onMessage = (frame: Frame): void => {
    if (frame.program !== PROGRAM.remote) return;
    const definition = byNumber.get(frame.procedure);
    if (definition === undefined) return;
    let event: LibvirtEvent | undefined;
    for (const s of subscribers) {
      if (!s.kinds.has(definition.kind)) continue;
      try {
        event ??= { kind: definition.kind, ...decode(definition.payload, frame.payload) } as LibvirtEvent;
        s.queue.push(event);
      } catch (e) {
        // An event that cannot be read is a lost event: the readers re-list.
        onError(e);
        s.queue.resync('overflow');
      }
    }
  };

  const subscribe = async <K extends EventKind>(
    kinds: readonly K[],
    options: SubscribeOptions = {},
  ): Promise<EventStream<LibvirtEvent<K>>> => {
    if (closed) throw new ConnectionError('CLOSED', 'the client is closed');
    const queue = createEventQueue<LibvirtEvent>(options.limit ?? 4096);
    const subscriber: Subscriber = { kinds: new Set(kinds), queue };
    subscribers.add(subscriber);
    const close = (): void => {
      if (!subscribers.delete(subscriber)) return;
      queue.end();
      releaseUnused();
    };
    try {
      const c = connection;
      await Promise.all(kinds.map(register)).catch((e: unknown) => {
        // A connection lost meanwhile is not the subscriber's matter: the next one registers again.
        if (c?.alive === true || c === undefined) throw e;
      });
    } catch (e) {
      close();
      throw e;
    }
    return {
      close,
      [Symbol.asyncIterator]: () => ({
        next: () => queue.next() as Promise<IteratorResult<LibvirtEvent<K>, undefined>>,
        return: () => {
          close();
          return Promise.resolve({ done: true as const, value: undefined });
        },
      }),
    };
  };

  return {
    subscribe,
    async attach(c) {
      connection = c;
      registered = new Map();
      c.onMessage(onMessage);
      const kinds = new Set([...subscribers].flatMap((s) => [...s.kinds]));
      const results = await Promise.allSettled([...kinds].map(register));
      for (const r of results) if (r.status === 'rejected') onError(r.reason);
      for (const s of subscribers) s.queue.resync('reconnected');
    },
    detach: () => (connection = undefined),
    close() {
      closed = true;
      for (const s of subscribers) s.queue.end();
      subscribers.clear();
    },
  };
}
