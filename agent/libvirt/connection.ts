/**
 * One connection to a libvirt daemon: calls, events and streams over one socket. What a connection must never do is told
 * by three facts of the daemon: it stops reading a connection with five unfinished calls (`slow` ones are therefore
 * limited to four), it cannot cancel a call (a timed-out call keeps its slot until the daemon answers), and it drops a
 * client that does not answer its keepalive for 30 s.
 */
import { decodeInSteps, STEPS_FROM_BYTES } from './decode-steps.js';
import { ConnectionError, LibvirtError, errorCodec } from './errors.js';
import type { Frame } from './frame.js';
import { STATUS, TYPE } from './frame.js';
import { handshake } from './handshake.js';
import { createKeepalive } from './keepalive.js';
import type { AnyProcedure } from './procedure.js';
import { PROGRAM } from './procedure.js';
import type { Args, ProcedureName, Result } from './procedures.js';
import { procedures } from './procedures.js';
import { createSlots } from './slots.js';
import type { Transport } from './transport.js';
import { connectTransport } from './transport.js';
import { decode } from './xdr.js';

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
  /** How often to ask whether the daemon lives, in ms, and after how many unanswered times to give up; 5,000 and 5. */
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
  /** Forgets the stream: further frames are dropped. */
  release(): void;
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

interface Pending {
  readonly name: string;
  readonly procedure: AnyProcedure;
  /** Undefined once the caller has given up; the slot is still taken. */
  settle: { resolve(value: unknown): void; reject(error: Error): void } | undefined;
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

function createCore(options: ConnectionOptions) {
  const pending = new Map<number, Pending>();
  const waiting = new Set<(reason: ConnectionError) => void>();
  const streams = new Map<number, StreamHandler>();
  const listeners = new Set<(frame: Frame) => void>();
  const slots = createSlots(options.maxSlowCalls ?? 4);
  const callTimeoutMs = options.callTimeoutMs ?? 30_000;
  let transport: Transport | undefined;
  let over: ConnectionError | undefined;
  let lastSerial = 0;
  let resolveClosed: (reason: ConnectionError) => void;
  const closed = new Promise<ConnectionError>((resolve) => (resolveClosed = resolve));

  const keepalive = createKeepalive({
    intervalMs: options.keepaliveIntervalMs ?? 5_000,
    count: options.keepaliveCount ?? 5,
    send: (procedure) =>
      transport?.send({ program: PROGRAM.keepalive, procedure, type: TYPE.message, serial: 0, status: STATUS.ok }),
    onDead: (silentMs) =>
      transport?.destroy(new ConnectionError('CLOSED', `the daemon has been silent for ${silentMs} ms`)),
  });

  const nextSerial = (): number => {
    do lastSerial = (lastSerial + 1) >>> 0;
    while (lastSerial === 0 || pending.has(lastSerial) || streams.has(lastSerial));
    return lastSerial;
  };

  const onReply = (frame: Frame): void => {
    const call = pending.get(frame.serial);
    if (call === undefined) return;
    pending.delete(frame.serial);
    if (call.procedure.pace !== 'quick') slots.release();
    const settle = call.settle;
    if (settle === undefined) return;
    try {
      const value = decodeReply(call, frame);
      settle.resolve(value);
    } catch (e) {
      settle.reject(e instanceof Error ? e : new Error(String(e)));
    }
  };

  const onStreamFrame = (frame: Frame): void => {
    const handler = streams.get(frame.serial);
    if (handler === undefined) return;
    if (frame.type === TYPE.hole) handler.onHole(frame.payload);
    else if (frame.status === STATUS.more) handler.onData(frame.payload);
    else if (frame.status === STATUS.ok) handler.onFinish();
    else handler.onError(readError('stream', frame.payload));
  };

  const start = (serial: number, call: Pending, args: unknown): void => {
    const { program, number } = call.procedure;
    pending.set(serial, call);
    try {
      if (transport === undefined) throw new ConnectionError('CLOSED', 'the connection is not open');
      transport.send({ program, procedure: number, type: TYPE.call, serial, status: STATUS.ok }, (w) => {
        call.procedure.args.enc(w, args);
      });
    } catch (e) {
      pending.delete(serial);
      if (call.procedure.pace !== 'quick') slots.release();
      throw e;
    }
  };

  const invoke = (
    name: string,
    procedure: AnyProcedure,
    args: unknown,
    limits: CallOptions,
    serial: number,
  ): Promise<unknown> =>
    new Promise((resolve, reject: (error: Error) => void) => {
      if (over !== undefined) return reject(lost(name, over));
      const timeoutMs = limits.timeoutMs ?? callTimeoutMs;
      const { signal } = limits;
      if (signal?.aborted === true) return reject(new ConnectionError('ABORTED', `${name}: aborted`, signal.reason));
      let timer: NodeJS.Timeout | undefined;
      let onAbort: (() => void) | undefined;
      const done = (): void => {
        clearTimeout(timer);
        if (onAbort !== undefined) signal?.removeEventListener('abort', onAbort);
      };
      const call: Pending = {
        name,
        procedure,
        settle: {
          resolve: (value) => {
            done();
            resolve(value);
          },
          reject: (error) => {
            done();
            reject(error);
          },
        },
      };
      let giveUpWaiting = (): boolean => false;
      const onLost = (reason: ConnectionError): void => call.settle?.reject(lost(name, reason));
      const giveUp = (error: ConnectionError): void => {
        if (giveUpWaiting()) waiting.delete(onLost);
        call.settle?.reject(error);
        call.settle = undefined;
      };
      if (Number.isFinite(timeoutMs)) {
        timer = setTimeout(
          () => giveUp(new ConnectionError('TIMEOUT', `${name}: no answer within ${timeoutMs} ms`)),
          timeoutMs,
        );
      }
      if (signal !== undefined) {
        onAbort = (): void => giveUp(new ConnectionError('ABORTED', `${name}: aborted`, signal.reason));
        signal.addEventListener('abort', onAbort, { once: true });
      }
      const go = (): void => {
        waiting.delete(onLost);
        try {
          start(serial, call, args);
        } catch (e) {
          call.settle?.reject(e instanceof Error ? e : new Error(String(e)));
        }
      };
      if (procedure.pace === 'quick') return go();
      waiting.add(onLost);
      giveUpWaiting = slots.take(go);
    });

  const fail = (reason: ConnectionError): void => {
    over = reason;
    keepalive.stop();
    const calls = [...pending.values()];
    pending.clear();
    for (const call of calls) call.settle?.reject(lost(call.name, reason));
    for (const onLost of [...waiting]) onLost(reason);
    waiting.clear();
    for (const handler of [...streams.values()]) handler.onError(reason);
    streams.clear();
    listeners.clear();
    resolveClosed(reason);
  };

  const connection: Connection = {
    call: <N extends ProcedureName>(name: N, args: Args<N>, limits: CallOptions = {}) =>
      invoke(name, procedures[name], args, limits, nextSerial()) as Promise<Result<N>>,
    async openStream(name, args, handler) {
      const serial = nextSerial();
      const { program, number } = procedures[name];
      streams.set(serial, handler);
      const frame = (type: number, status: number) => ({ program, procedure: number, type, serial, status });
      const send = (type: number, status: number, bytes?: Uint8Array, sent?: () => void): void => {
        if (!streams.has(serial) || transport?.alive !== true) return;
        transport.send(frame(type, status), bytes && ((w) => void w.buf.set(bytes, w.room(bytes.length))), sent);
      };
      const channel: StreamChannel = {
        send: (bytes, sent) => send(TYPE.stream, STATUS.more, bytes, sent),
        sendHole: (payload, sent) => send(TYPE.hole, STATUS.more, payload, sent),
        finish: () => send(TYPE.stream, STATUS.ok),
        abort: () => send(TYPE.stream, STATUS.error),
        release: () => streams.delete(serial),
      };
      try {
        return { result: (await invoke(name, procedures[name], args, {}, serial)) as Result<typeof name>, channel };
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
      return over === undefined;
    },
    close: () => transport?.destroy(new ConnectionError('CLOSED', 'closed by this program')),
  };

  return {
    connection,
    keepalive,
    attach: (t: Transport) => (transport = t),
    onClose: fail,
    onFrame(frame: Frame): void {
      keepalive.heard();
      if (frame.program === PROGRAM.keepalive) return keepalive.onFrame(frame.procedure);
      switch (frame.type) {
        case TYPE.reply:
          return onReply(frame);
        case TYPE.stream:
        case TYPE.hole:
          return onStreamFrame(frame);
        case TYPE.message:
          if (frame.program === PROGRAM.remote && frame.procedure === CONNECTION_CLOSED) {
            return transport?.destroy(closedBehindProxy(frame.payload));
          }
          for (const listener of listeners) listener(frame);
      }
    },
  };
}

/** connect_event_connection_closed: the hypervisor daemon behind a proxying one is gone, though our socket lives on. */
const CONNECTION_CLOSED = 362;
function closedBehindProxy(payload: Buffer): ConnectionError {
  const reasons = ['error', 'end of file', 'keepalive', 'client'];
  const reason = payload.length === 4 ? (reasons[payload.readInt32BE(0)] ?? 'unknown') : 'unknown';
  return new ConnectionError('CLOSED', `the hypervisor's daemon behind the proxy is gone (${reason})`);
}

const lost = (name: string, reason: ConnectionError): ConnectionError =>
  new ConnectionError('CLOSED', `${name}: ${reason.message}`, reason);

function readError(name: string, payload: Buffer): Error {
  try {
    return new LibvirtError(name, decode(errorCodec, payload));
  } catch (e) {
    return new ConnectionError('PROTOCOL', `${name} failed, and its error cannot be read`, e);
  }
}

/** The value, or a promise of it when the reply is large. Throws what the daemon answered. */
function decodeReply(call: Pending, frame: Frame): unknown {
  if (frame.status !== STATUS.ok) throw readError(call.name, frame.payload);
  const { ret } = call.procedure;
  const unreadable = (e: unknown): never => {
    throw new ConnectionError('PROTOCOL', `${call.name}: the reply cannot be read`, e);
  };
  if (frame.payload.length >= STEPS_FROM_BYTES) return decodeInSteps(ret, frame.payload).catch(unreadable);
  try {
    return decode(ret, frame.payload) as unknown;
  } catch (e) {
    return unreadable(e);
  }
}
