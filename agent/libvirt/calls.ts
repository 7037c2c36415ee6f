/**
 * Calls in flight on one connection. A call that may wait for a guest takes one of a few slots and keeps it until the
 * daemon has answered, even when the caller has given up: the daemon counts it until then.
 */
import type { CallOptions } from './connection.js';
import { decodeInSteps, STEPS_FROM_BYTES } from './decode-steps.js';
import { ConnectionError, LibvirtError, errorCodec } from './errors.js';
import type { Frame, Header } from './frame.js';
import { STATUS, TYPE } from './frame.js';
import type { AnyProcedure } from './procedure.js';
import { createSlots } from './slots.js';
import type { Codec, Writer } from './xdr.js';
import { decode } from './xdr.js';

export interface CallsOptions {
  readonly maxSlowCalls: number;
  readonly callTimeoutMs: number;
  send(header: Header, body: (w: Writer) => void): void;
}

export interface Calls {
  invoke(name: string, procedure: AnyProcedure, args: unknown, limits: CallOptions, serial: number): Promise<unknown>;
  onReply(frame: Frame): void;
  /** Rejects everything, now and from now on. */
  fail(reason: ConnectionError): void;
  has(serial: number): boolean;
}

interface Call {
  readonly name: string;
  readonly procedure: AnyProcedure;
  readonly args: unknown;
  readonly serial: number;
  readonly resolve: (value: unknown) => void;
  readonly reject: (error: Error) => void;
  timer: NodeJS.Timeout | undefined;
  unlisten: (() => void) | undefined;
  /** Gives up waiting for a slot; absent when it never waited. */
  leaveQueue: (() => boolean) | undefined;
  /** The daemon has it. */
  sent: boolean;
  /** The caller has its answer. */
  settled: boolean;
}

export function createCalls(options: CallsOptions): Calls {
  const calls = new Map<number, Call>();
  const slots = createSlots(options.maxSlowCalls);
  let over: ConnectionError | undefined;

  const forget = (call: Call): void => {
    calls.delete(call.serial);
    if (call.procedure.pace !== 'quick' && call.sent) slots.release();
  };

  const giveUp = (call: Call, error: ConnectionError): void => {
    if (!call.sent) {
      call.leaveQueue?.();
      calls.delete(call.serial);
    }
    settle(call);
    call.reject(error);
  };

  const transmit = (call: Call): void => {
    const { program, number, args } = call.procedure;
    call.sent = true;
    try {
      options.send({ program, procedure: number, type: TYPE.call, serial: call.serial, status: STATUS.ok }, (w) => {
        args.enc(w, call.args);
      });
    } catch (e) {
      forget(call);
      settle(call);
      call.reject(e as Error);
    }
  };

  const arm = (call: Call, limits: CallOptions): void => {
    const timeoutMs = limits.timeoutMs ?? options.callTimeoutMs;
    if (Number.isFinite(timeoutMs)) call.timer = setTimeout(onTimeout, timeoutMs, call, timeoutMs, giveUp);
    const { signal } = limits;
    if (signal === undefined) return;
    const onAbort = (): void => {
      giveUp(call, aborted(call.name, signal));
    };
    signal.addEventListener('abort', onAbort, { once: true });
    call.unlisten = (): void => {
      signal.removeEventListener('abort', onAbort);
    };
  };

  return {
    has: (serial) => calls.has(serial),
    invoke: (name, procedure, args, limits, serial) =>
      new Promise((resolve, reject) => {
        if (over !== undefined) throw lost(name, over);
        if (limits.signal?.aborted === true) throw aborted(name, limits.signal);
        const call: Call = {
          name,
          procedure,
          args,
          serial,
          resolve,
          reject,
          timer: undefined,
          unlisten: undefined,
          leaveQueue: undefined,
          sent: false,
          settled: false,
        };
        calls.set(serial, call);
        arm(call, limits);
        if (procedure.pace === 'quick') transmit(call);
        else call.leaveQueue = slots.take(call, transmit);
      }),
    onReply(frame) {
      const call = calls.get(frame.serial);
      if (call === undefined) return;
      forget(call);
      if (call.settled) return;
      settle(call);
      try {
        call.resolve(readReply(call, frame));
      } catch (e) {
        call.reject(e as Error);
      }
    },
    fail(reason) {
      over = reason;
      const all = [...calls.values()];
      calls.clear();
      for (const call of all) {
        if (call.settled) continue;
        settle(call);
        call.reject(lost(call.name, reason));
      }
    },
  };
}

function onTimeout(call: Call, timeoutMs: number, giveUp: (call: Call, error: ConnectionError) => void): void {
  giveUp(call, new ConnectionError('TIMEOUT', `${call.name}: no answer within ${timeoutMs} ms`));
}

function settle(call: Call): void {
  call.settled = true;
  clearTimeout(call.timer);
  call.unlisten?.();
}

const aborted = (name: string, signal: AbortSignal): ConnectionError =>
  new ConnectionError('ABORTED', `${name}: aborted`, signal.reason);

const lost = (name: string, reason: ConnectionError): ConnectionError =>
  new ConnectionError('CLOSED', `${name}: ${reason.message}`, reason);

/** What the daemon says went wrong. */
export function readError(name: string, payload: Buffer): Error {
  try {
    return new LibvirtError(name, decode(errorCodec, payload));
  } catch (e) {
    return unreadable(`${name} failed, and its error`, e);
  }
}

const unreadable = (what: string, cause: unknown): ConnectionError =>
  new ConnectionError('PROTOCOL', `${what} cannot be read`, cause);

/** The value, or a promise of it when the reply is large. Throws what the daemon answered. */
function readReply(call: Call, frame: Frame): unknown {
  if (frame.status !== STATUS.ok) throw readError(call.name, frame.payload);
  const ret = call.procedure.ret as Codec<unknown>;
  const what = `the reply to ${call.name}`;
  if (frame.payload.length >= STEPS_FROM_BYTES) {
    return decodeInSteps(ret, frame.payload).catch((e: unknown) => {
      throw unreadable(what, e);
    });
  }
  try {
    return decode(ret, frame.payload);
  } catch (e) {
    throw unreadable(what, e);
  }
}
