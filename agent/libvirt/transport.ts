/** A UNIX socket that carries frames: writes of one turn of the event loop leave in one system call. */
import { connect } from 'node:net';
import { ConnectionError } from './errors.js';
import type { Frame, Header } from './frame.js';
import { createSplitter, writeFrame } from './frame.js';
import { Writer } from './xdr.js';

const SLAB = 64 * 1024;
/** A slab with less room than this left is not worth keeping. */
const SLAB_TAIL = 4 * 1024;

export interface Transport {
  /** Queues a frame. `sent` runs when the kernel has taken it. */
  send(header: Header, body?: (w: Writer) => void, sent?: () => void): void;
  /** Stops and resumes reading: of everything on this connection, as the protocol has no flow control per stream. */
  pause(): void;
  resume(): void;
  /** Ends the connection now; `onClose` runs once. */
  destroy(reason: ConnectionError): void;
  readonly alive: boolean;
}

export interface TransportHandlers {
  onFrame(frame: Frame): void;
  onClose(reason: ConnectionError): void;
}

/** Connects within `timeoutMs` or rejects with UNREACHABLE; nothing is left open then. */
export function connectTransport(path: string, timeoutMs: number, handlers: TransportHandlers): Promise<Transport> {
  return new Promise((resolve, reject) => {
    const socket = connect({ path });
    let reason: ConnectionError | undefined;
    let alive = true;
    let connected = false;
    let writer = new Writer(SLAB);
    let flushing = false;
    let sentCallbacks: (() => void)[] = [];

    const timer = setTimeout(() => {
      destroy(new ConnectionError('UNREACHABLE', `${path} did not take the connection within ${timeoutMs} ms`));
    }, timeoutMs);

    const destroy = (why: ConnectionError): void => {
      reason ??= why;
      alive = false;
      socket.destroy();
    };

    const flush = (): void => {
      flushing = false;
      if (!alive || writer.pos === 0) return;
      const chunk = writer.bytes();
      const rest = writer.buf.length - writer.pos;
      // The kernel may take the bytes later: go on in the rest of the slab, or in a new one.
      if (rest >= SLAB_TAIL && writer.buf.length <= SLAB) {
        writer.buf = writer.buf.subarray(writer.pos);
        writer.reset();
      } else {
        writer = new Writer(SLAB);
      }
      const callbacks = sentCallbacks;
      if (callbacks.length === 0) {
        socket.write(chunk);
        return;
      }
      sentCallbacks = [];
      socket.write(chunk, () => {
        for (const f of callbacks) f();
      });
    };

    const transport: Transport = {
      send(header, body, sent) {
        if (!alive) throw reason ?? new ConnectionError('CLOSED', 'the connection is closed');
        writeFrame(writer, header, body);
        if (sent !== undefined) sentCallbacks.push(sent);
        if (!flushing) {
          flushing = true;
          process.nextTick(flush);
        }
      },
      pause: () => void socket.pause(),
      resume: () => void socket.resume(),
      destroy,
      get alive() {
        return alive;
      },
    };

    const split = createSplitter((frame) => {
      if (alive) handlers.onFrame(frame);
    });
    socket.on('data', (chunk: Buffer) => {
      try {
        split(chunk);
      } catch (e) {
        destroy(new ConnectionError('PROTOCOL', `what came from ${path} is not libvirt's protocol`, e));
      }
    });
    socket.once('connect', () => {
      connected = true;
      clearTimeout(timer);
      resolve(transport);
    });
    socket.on('error', (e) => {
      reason ??= new ConnectionError(connected ? 'CLOSED' : 'UNREACHABLE', `${path}: ${e.message}`, e);
    });
    socket.once('close', () => {
      clearTimeout(timer);
      alive = false;
      reason ??= new ConnectionError('CLOSED', `the daemon closed the connection to ${path}`);
      // Without effect after `resolve`; before it, this is the failed connect.
      reject(reason);
      handlers.onClose(reason);
    });
  });
}
