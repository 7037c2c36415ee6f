/**
 * One connection to a libvirt daemon: calls, events and streams over one socket. What a connection must never do is told
 * by three facts of the daemon: it stops reading a connection with five unfinished calls (`slow` ones are therefore
 * limited to four), it cannot cancel a call (a timed-out call keeps its slot until the daemon answers), and it drops a
 * client that does not answer its keepalive for 30 s.
 */
import { createCalls, readError } from './calls.js';
import { ConnectionError } from './errors.js';
import type { Frame } from './frame.js';
import { STATUS, TYPE } from './frame.js';
import { handshake } from './handshake.js';
import type { Keepalive } from './keepalive.js';
import { createKeepalive } from './keepalive.js';
import { PROGRAM } from './procedure.js';
import type { Args, ProcedureName, Result } from './procedures.js';
import { procedures } from './procedures.js';
import type { Transport } from './transport.js';
import { connectTransport } from './transport.js';

export interface ConnectionOptions {
  /** The daemon's UNIX socket. */
  readonly socketPath: string;
  /** Given always: a modular daemon that got none says "connection not open" at the first call. */
  readonly uri: string;
  /** Open read-only: writes are refused with OPERATION_DENIED. */
  readonly readOnly?: boolean;
  /** Time for connecting and opening, in ms; 10,000. */
  readonly openTimeoutMs?: number;
  /** Time for a call that names none, in ms; 30,000. Infinity for none. */
  readonly callTimeoutMs?: number;
  /**
   * How often to ask whether the daemon lives, in ms, and after how many unanswered times to give up; 5,000 and 5.
   * With 0 neither side asks, as a connection whose reader may pause needs it.
   */
  readonly keepaliveIntervalMs?: number;
  readonly keepaliveCount?: number;
  /** Calls in flight that may wait for a guest's monitor; 4, one under the daemon's limit. */
  readonly maxSlowCalls?: number;
}

export interface CallOptions {
  /** Deadline in ms from now; Infinity for none. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

/** Where the frames of a stream go. Every method is called from the socket's reader. */
export interface StreamHandler {
  onData(payload: Buffer): void;
  onHole(payload: Buffer): void;
  /** The daemon confirmed the end. */
  onFinish(): void;
  onError(error: Error): void;
}

/** The sending half of an open stream. */
export interface StreamChannel {
  /** Sends one packet; `sent` runs when the kernel has taken it. */
  send(bytes: Uint8Array, sent?: () => void): void;
  sendHole(payload: Buffer, sent?: () => void): void;
  finish(): void;
  abort(): void;
}

export interface Connection {
  /** Calls a procedure. Rejects with LibvirtError (the daemon's answer) or ConnectionError (no answer). */
  call<N extends ProcedureName>(name: N, args: Args<N>, options?: CallOptions): Promise<Result<N>>;
  /** Calls a `stream` procedure and keeps its stream. Resolves when the daemon has opened it. */
  openStream<N extends ProcedureName>(
    name: N,
    args: Args<N>,
    handler: StreamHandler,
  ): Promise<{ result: Result<N>; channel: StreamChannel }>;
  /** Hears every event frame; returns a way to stop. */
  onMessage(listener: (frame: Frame) => void): () => void;
  /** See Transport.pause: stops everything on this connection. */
  pause(): void;
  resume(): void;
  /** Settles once, with the reason, when the connection is over. */
  readonly closed: Promise<ConnectionError>;
  readonly alive: boolean;
  /** Ends it at once; every call in flight rejects with CLOSED. */
  close(): void;
}

/** Connects, proves who we are, opens the URI. Rejects with ConnectionError or LibvirtError; nothing stays open then. */
export async function openConnection(options: ConnectionOptions): Promise<Connection> {
  const openTimeoutMs = options.openTimeoutMs ?? 10_000;
  const core = createCore(options);
  const transport = await connectTransport(options.socketPath, openTimeoutMs, core);
  core.attach(transport);
  try {
    const features = await handshake(core.connection, options, openTimeoutMs);
    if (features.keepalive) core.keepalive.start();
  } catch (e) {
    transport.destroy(new ConnectionError('CLOSED', 'the connection could not be opened', e));
    throw e;
  }
  return core.connection;
}

interface Core {
  readonly connection: Connection;
  readonly keepalive: Keepalive;
  attach(transport: Transport): void;
  onFrame(frame: Frame): void;
  onClose(reason: ConnectionError): void;
}

function createCore(options: ConnectionOptions): Core {
  const streams = new Map<number, StreamHandler>();
  const listeners = new Set<(frame: Frame) => void>();
  let transport: Transport | undefined;
  let alive = true;
  let lastSerial = 0;
  let resolveClosed: (reason: ConnectionError) => void = () => undefined;
  const closed = new Promise<ConnectionError>((resolve) => (resolveClosed = resolve));

  const send: Transport['send'] = (header, body, sent) => {
    if (transport === undefined) throw new ConnectionError('CLOSED', 'the connection is not open');
    transport.send(header, body, sent);
  };
  const destroy = (reason: ConnectionError): void => {
    transport?.destroy(reason);
  };
  /** False from `destroy` on; `onClose` comes a moment later, and timers may run in between. */
  const usable = (): boolean => alive && transport?.alive === true;
  const calls = createCalls({
    maxSlowCalls: options.maxSlowCalls ?? 4,
    callTimeoutMs: options.callTimeoutMs ?? 30_000,
    send,
  });
  const keepalive = createKeepalive({
    intervalMs: options.keepaliveIntervalMs ?? 5_000,
    count: options.keepaliveCount ?? 5,
    send: (procedure) => {
      if (usable()) send({ program: PROGRAM.keepalive, procedure, type: TYPE.message, serial: 0, status: STATUS.ok });
    },
    onDead: (silentMs) => {
      destroy(new ConnectionError('CLOSED', `the daemon has been silent for ${silentMs} ms`));
    },
  });

  const nextSerial = (): number => {
    do lastSerial = (lastSerial + 1) >>> 0;
    while (lastSerial === 0 || calls.has(lastSerial) || streams.has(lastSerial));
    return lastSerial;
  };

  const channelOf = (name: ProcedureName, serial: number): StreamChannel => {
    const { program, number } = procedures[name];
    const sendPart = (type: number, status: number, bytes?: Uint8Array, sent?: () => void): void => {
      if (!streams.has(serial) || !usable()) return;
      const header = { program, procedure: number, type, serial, status };
      // Stream data are not XDR: no length, no padding.
      send(header, bytes && ((w) => w.append(bytes)), sent);
    };
    return {
      send: (bytes, sent) => {
        sendPart(TYPE.stream, STATUS.more, bytes, sent);
      },
      sendHole: (payload, sent) => {
        sendPart(TYPE.hole, STATUS.more, payload, sent);
      },
      finish: () => {
        sendPart(TYPE.stream, STATUS.ok);
      },
      abort: () => {
        sendPart(TYPE.stream, STATUS.error);
      },
    };
  };

  const connection: Connection = {
    call: <N extends ProcedureName>(name: N, args: Args<N>, limits: CallOptions = {}) =>
      calls.invoke(name, procedures[name], args, limits, nextSerial()) as Promise<Result<N>>,
    async openStream(name, args, handler) {
      const serial = nextSerial();
      // Data may come with the reply.
      streams.set(serial, handler);
      try {
        const result = (await calls.invoke(name, procedures[name], args, {}, serial)) as Result<typeof name>;
        return { result, channel: channelOf(name, serial) };
      } catch (e) {
        streams.delete(serial);
        throw e;
      }
    },
    onMessage(listener) {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    pause: () => transport?.pause(),
    resume: () => transport?.resume(),
    closed,
    get alive() {
      return usable();
    },
    close: () => {
      destroy(new ConnectionError('CLOSED', 'closed by this program'));
    },
  };

  return {
    connection,
    keepalive,
    attach: (t) => (transport = t),
    onClose(reason) {
      alive = false;
      keepalive.stop();
      calls.fail(reason);
      for (const handler of [...streams.values()]) handler.onError(reason);
      streams.clear();
      listeners.clear();
      resolveClosed(reason);
    },
    onFrame(frame) {
      keepalive.heard();
      if (frame.program === PROGRAM.keepalive) keepalive.onFrame(frame.procedure);
      else if (frame.type === TYPE.reply) calls.onReply(frame);
      else if (frame.type === TYPE.stream || frame.type === TYPE.hole) toStream(streams.get(frame.serial), frame);
      else if (frame.type !== TYPE.message) return;
      else if (frame.program === PROGRAM.remote && frame.procedure === CONNECTION_CLOSED) {
        destroy(closedBehindProxy(frame.payload));
      } else for (const listener of listeners) listener(frame);
    },
  };
}

function toStream(handler: StreamHandler | undefined, frame: Frame): void {
  if (handler === undefined) return;
  if (frame.type === TYPE.hole) handler.onHole(frame.payload);
  else if (frame.status === STATUS.more) handler.onData(frame.payload);
  else if (frame.status === STATUS.ok) handler.onFinish();
  else handler.onError(readError('stream', frame.payload));
}

/** connect_event_connection_closed: the hypervisor daemon behind a proxying one is gone, though our socket lives on. */
const CONNECTION_CLOSED = 362;
function closedBehindProxy(payload: Buffer): ConnectionError {
  const reasons = ['error', 'end of file', 'keepalive', 'client'];
  const reason = payload.length === 4 ? (reasons[payload.readInt32BE(0)] ?? 'unknown') : 'unknown';
  return new ConnectionError('CLOSED', `the hypervisor's daemon behind the proxy is gone (${reason})`);
}
