import { WebSocket, type RawData } from 'ws';
import { OstlerError } from '../../../proto/kit/errors.js';
import type { Context } from '../context.js';
import { EXIT } from '../codes.js';
import { isTerminal } from '../io.js';
import { fromClose, fromResponse } from './refusal.js';
import { splitAtLeave } from './escape.js';

export interface SerialOptions {
  readonly url: string;
  /** PEM; empty: the system's CAs. */
  readonly ca: string;
  /** Without a terminal: leave when input has ended and the guest was silent for so long; undefined: stay. */
  readonly idleMs: number | undefined;
}

/** More than this waiting to be sent stops reading: pasted megabytes do not pile up in memory. */
const SEND_HIGH_WATER = 256 * 1024;
const CLOSE_MS = 300;

/**
 * Joins this terminal (or pipe) with the guest's serial console until `^]`, the end of input, Ctrl-C in a pipe, or the end
 * of the connection. The terminal's mode is restored on every way out. Returns the exit code.
 */
export async function runSerial(context: Context, options: SerialOptions): Promise<number> {
  const socket = new WebSocket(options.url, options.ca === '' ? {} : { ca: options.ca });
  socket.binaryType = 'nodebuffer';
  await opened(socket, context.io.interrupted);
  const { stdin } = context.io;
  const terminal = isTerminal(stdin);
  if (terminal) stdin.setRawMode?.(true);
  try {
    return await pump(context, socket, options.idleMs);
  } finally {
    if (terminal) stdin.setRawMode?.(false);
    stdin.pause();
    stdin.unref?.();
    await closed(socket);
  }
}

/** Lets what was typed last arrive, but waits for nobody. */
function closed(socket: WebSocket): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(timer);
      socket.terminate();
      resolve();
    };
    const timer = setTimeout(end, CLOSE_MS);
    socket.once('close', end);
    if (socket.readyState === WebSocket.CLOSED) end();
    else socket.close(1000);
  });
}

function opened(socket: WebSocket, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const abort = (): void => {
      socket.terminate();
      reject(signal.reason as Error);
    };
    signal.addEventListener('abort', abort, { once: true });
    socket.once('open', () => {
      // The replayed history may be in the same packet: nothing is read until somebody listens.
      socket.pause();
      signal.removeEventListener('abort', abort);
      resolve();
    });
    socket.once('unexpected-response', (_request, response) => {
      fromResponse(response)
        .then(reject, reject)
        .finally(() => socket.terminate());
    });
    socket.on('error', (error) => {
      const message = `Cannot open the console connection: ${error.message}`;
      const remedy = "Is the controller's HTTP port reachable from here (http.listen, http.publicUrl)?";
      reject(new OstlerError('HOST_UNREACHABLE', message, { remedy }));
    });
  });
}

function pump(context: Context, socket: WebSocket, idleMs: number | undefined): Promise<number> {
  const { stdin, stdout, interrupted } = context.io;
  return new Promise((resolve, reject) => {
    let idle: NodeJS.Timeout | undefined;
    let ended = false;
    let left = false;
    const finish = (settle: () => void): void => {
      left = true;
      clearTimeout(idle);
      stdin.off('data', onInput);
      stdin.off('end', onEnd);
      interrupted.removeEventListener('abort', onInterrupt);
      settle();
    };
    const leave = (code: number): void => finish(() => resolve(code));
    const onInterrupt = (): void => leave(EXIT.INTERRUPTED);
    const watchIdle = (): void => {
      clearTimeout(idle);
      if (ended && idleMs !== undefined) idle = setTimeout(() => leave(EXIT.OK), idleMs);
    };
    const onInput = (chunk: Buffer | string): void => {
      const bytes = typeof chunk === 'string' ? Buffer.from(chunk) : chunk;
      const { send, leave: wantsOut } = isTerminal(stdin) ? splitAtLeave(bytes) : { send: bytes, leave: false };
      if (send.length > 0)
        socket.send(send, () => {
          if (!left && socket.bufferedAmount < SEND_HIGH_WATER) stdin.resume();
        });
      if (wantsOut) leave(EXIT.OK);
      else if (socket.bufferedAmount > SEND_HIGH_WATER) stdin.pause();
    };
    const onEnd = (): void => {
      ended = true;
      watchIdle();
    };
    socket.on('message', (data: RawData) => {
      watchIdle();
      if (stdout.write(data as Buffer)) return;
      socket.pause();
      stdout.once('drain', () => socket.resume());
    });
    socket.once('close', (code, reason) => {
      const error = fromClose(code, reason.toString());
      if (error === undefined) leave(EXIT.OK);
      else finish(() => reject(error));
    });
    interrupted.addEventListener('abort', onInterrupt, { once: true });
    stdin.on('data', onInput);
    stdin.on('end', onEnd);
    stdin.resume();
    socket.resume();
  });
}
