/**
 * A client keeps one daemon's connections apart by what they may wait for: control (calls and events), statistics,
 * one for every long job, one for every stream. It reconnects by itself; while the daemon is away calls reject with
 * CLOSED at once, which is what a caller with a plan of its own wants.
 */
import type { Duplex, Readable, Writable } from 'node:stream';
import type { CallOptions, Connection, ConnectionOptions } from './connection.js';
import { openConnection } from './connection.js';
import { ConnectionError } from './errors.js';
import type { Subscriptions } from './events.js';
import { createSubscriptions } from './events.js';
import type { Domain, StorageVol } from './objects.js';
import type { Args, ProcedureName, Result } from './procedures.js';
import { daemonUri, socketPathFor } from './socket-path.js';
import { createStatsLane } from './stats-lane.js';
import type { DomainStats, StatsQuery } from './stats-lane.js';
import { openDuplex, openReadable, openWritable } from './streams.js';

export interface ClientOptions {
  /** `qemu:///system`, `test:///default` …; `?socket=PATH` names the socket. */
  readonly uri: string;
  /** The daemon's socket, instead of libvirt's usual places. */
  readonly socket?: string;
  readonly readOnly?: boolean;
  readonly openTimeoutMs?: number;
  readonly callTimeoutMs?: number;
  readonly keepaliveIntervalMs?: number;
  readonly keepaliveCount?: number;
  /** Pauses between attempts to reconnect, in ms: the first, and the longest; 100 and 2,000. */
  readonly reconnectMinMs?: number;
  readonly reconnectMaxMs?: number;
  /** Hears of failures nobody waits for (a reconnect, a registration), for a log. */
  readonly onError?: (error: unknown) => void;
}

export type ClientState =
  | { readonly name: 'connected' }
  /** Not connected, trying; `reason` is the last failure. */
  | { readonly name: 'disconnected'; readonly reason: Error | undefined }
  | { readonly name: 'closed' };

/** What can be called: a client or one connection. Helpers take this. */
export interface Caller {
  call<N extends ProcedureName>(name: N, args: Args<N>, options?: CallOptions): Promise<Result<N>>;
}

export interface VolumeRange {
  /** Bytes; 0. */
  readonly offset?: number;
  /** Bytes; 0 means to the end. */
  readonly length?: number;
  /** Holes travel as `{hole: bytes}` objects instead of zeros: the stream is in object mode. */
  readonly sparse?: boolean;
}

export interface Client extends Caller {
  readonly state: ClientState;
  /** Hears every change of state, at once; returns a way to stop. */
  onState(listener: (state: ClientState) => void): () => void;
  /** See Subscriptions.subscribe. */
  readonly subscribe: Subscriptions['subscribe'];
  /** Bulk statistics over their own connection: one that got stuck is left behind. See stats-lane.ts. */
  allDomainStats(query: StatsQuery): Promise<DomainStats[]>;
  /** A connection of its own, for a long job; the caller closes it. Migration must keep the one that began it. */
  dedicate(options?: Pick<ConnectionOptions, 'callTimeoutMs'>): Promise<Connection>;
  /** Runs one job on a connection of its own, without a deadline per call unless one is given. */
  withConnection<T>(job: (connection: Connection) => Promise<T>): Promise<T>;
  /** The console or serial device of a running domain, both ways. `devName` as the alias in its XML; the first one else. */
  openConsole(dom: Domain, options?: { devName?: string; force?: boolean }): Promise<Duplex>;
  /** A virtio channel of a running domain, both ways. */
  openChannel(dom: Domain, options?: { name?: string; force?: boolean }): Promise<Duplex>;
  /** A picture of the guest's screen: what `mime` says (image/x-portable-pixmap, image/png). */
  screenshot(dom: Domain, screen?: number): Promise<{ mime: string | null; stream: Readable }>;
  storageVolDownload(vol: StorageVol, range?: VolumeRange): Promise<Readable>;
  /** Writes into a volume; `finish` comes when the daemon has confirmed the end. */
  storageVolUpload(vol: StorageVol, range?: VolumeRange): Promise<Writable>;
  /** Ends every connection. Repeats do nothing. */
  close(): void;
}

const FORCE = 1;
const SPARSE_STREAM = 1;

/** Connects; rejects when the first attempt fails. */
export async function connect(options: ClientOptions): Promise<Client> {
  const { client, first } = start(options);
  try {
    await first;
    return client;
  } catch (e) {
    client.close();
    throw e;
  }
}

/** A client that is `disconnected` at first and keeps trying until it is closed: for a program that outlives the daemon. */
export function createClient(options: ClientOptions): Client {
  const { client, first } = start(options);
  // The failure shows in `state` and `onError`.
  first.catch(() => undefined);
  return client;
}

function start(options: ClientOptions): { client: Client; first: Promise<void> } {
  const onError = options.onError ?? (() => undefined);
  const listeners = new Set<(state: ClientState) => void>();
  const subscriptions = createSubscriptions(onError);
  const others = new Set<Connection>();
  let state: ClientState = { name: 'disconnected', reason: undefined };
  let control: Connection | undefined;
  let retry: NodeJS.Timeout | undefined;
  const minMs = options.reconnectMinMs ?? 100;
  const maxMs = options.reconnectMaxMs ?? 2_000;
  let delayMs = minMs;

  const isClosed = (): boolean => state.name === 'closed';
  const setState = (next: ClientState): void => {
    if (isClosed()) return;
    state = next;
    for (const listener of [...listeners]) listener(next);
  };

  const open = async (extra: Partial<ConnectionOptions> = {}): Promise<Connection> => {
    if (isClosed()) throw new ConnectionError('CLOSED', 'the client is closed');
    // The path is chosen each time: a host may change from the one daemon to the modular ones.
    const connection = await openConnection({ ...connectionOptions(options), ...extra });
    if (isClosed()) {
      connection.close();
      throw new ConnectionError('CLOSED', 'the client is closed');
    }
    others.add(connection);
    void connection.closed.then(() => others.delete(connection));
    return connection;
  };

  const tryLater = (): void => {
    if (isClosed()) return;
    retry = setTimeout(() => void connectControl().catch(onError), delayMs);
    delayMs = Math.min(delayMs * 2, maxMs);
  };

  const onLost = (reason: Error): void => {
    control = undefined;
    subscriptions.detach();
    setState({ name: 'disconnected', reason });
    tryLater();
  };

  const connectControl = async (): Promise<void> => {
    try {
      const connection = await open();
      void connection.closed.then(onLost);
      control = connection;
      await subscriptions.attach(connection);
      if (!connection.alive) return;
      delayMs = minMs;
      setState({ name: 'connected' });
    } catch (e) {
      setState({ name: 'disconnected', reason: e instanceof Error ? e : new Error(String(e)) });
      tryLater();
      throw e;
    }
  };

  const dedicate = (extra: Pick<ConnectionOptions, 'callTimeoutMs'> = {}): Promise<Connection> =>
    open({ callTimeoutMs: Infinity, ...extra });
  // A paused reader answers no pings: the daemon would end the stream after 30 s. The socket itself tells of its death.
  const openForStream = (): Promise<Connection> => open({ keepaliveIntervalMs: 0 });
  const stats = createStatsLane(() => open());

  const client: Client = {
    get state() {
      return state;
    },
    onState(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    call: (name, args, limits) =>
      control?.call(name, args, limits) ?? Promise.reject(new ConnectionError('CLOSED', `${name}: ${why(state)}`)),
    subscribe: (kinds, limits) => subscriptions.subscribe(kinds, limits),
    allDomainStats: (query) => stats.poll(query),
    dedicate,
    async withConnection(job) {
      const connection = await dedicate();
      try {
        return await job(connection);
      } finally {
        connection.close();
      }
    },
    async openConsole(dom, o = {}) {
      const args = { dom, devName: o.devName ?? null, flags: o.force === true ? FORCE : 0 };
      return openDuplex(await openForStream(), 'domainOpenConsole', args);
    },
    async openChannel(dom, o = {}) {
      const args = { dom, name: o.name ?? null, flags: o.force === true ? FORCE : 0 };
      return openDuplex(await openForStream(), 'domainOpenChannel', args);
    },
    async screenshot(dom, screen = 0) {
      const { result, stream } = await openReadable(await openForStream(), 'domainScreenshot', { dom, screen });
      return { mime: result.mime, stream };
    },
    async storageVolDownload(vol, range = {}) {
      const holes = range.sparse === true ? 'objects' : 'zeros';
      const { stream } = await openReadable(await openForStream(), 'storageVolDownload', rangeArgs(vol, range), holes);
      return stream;
    },
    async storageVolUpload(vol, range = {}) {
      return openWritable(await openForStream(), rangeArgs(vol, range), range.sparse === true ? 'sparse' : 'bytes');
    },
    close() {
      if (isClosed()) return;
      setState({ name: 'closed' });
      clearTimeout(retry);
      subscriptions.close();
      for (const connection of others) connection.close();
    },
  };
  return { client, first: connectControl() };
}

function why(state: ClientState): string {
  if (state.name === 'closed') return 'the client is closed';
  const reason = state.name === 'disconnected' ? state.reason?.message : undefined;
  return `no connection to the daemon${reason === undefined ? '' : ` (${reason})`}`;
}

function rangeArgs(vol: StorageVol, range: VolumeRange) {
  const flags = range.sparse === true ? SPARSE_STREAM : 0;
  return { vol, offset: range.offset ?? 0, length: range.length ?? 0, flags };
}

function connectionOptions(o: ClientOptions): ConnectionOptions {
  return {
    uri: daemonUri(o.uri),
    socketPath: o.socket ?? socketPathFor(o),
    ...(o.readOnly === undefined ? {} : { readOnly: o.readOnly }),
    ...(o.openTimeoutMs === undefined ? {} : { openTimeoutMs: o.openTimeoutMs }),
    ...(o.callTimeoutMs === undefined ? {} : { callTimeoutMs: o.callTimeoutMs }),
    ...(o.keepaliveIntervalMs === undefined ? {} : { keepaliveIntervalMs: o.keepaliveIntervalMs }),
    ...(o.keepaliveCount === undefined ? {} : { keepaliveCount: o.keepaliveCount }),
  };
}
