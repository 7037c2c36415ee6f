import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws';
import { OstlerError, toOstlerError } from '../../../proto/kit/errors.js';
import type { Log } from '../../../proto/kit/log.js';
import type { Tickets } from '../../auth/tickets.js';
import type { Agents } from '../../engine/env.js';
import type { Store } from '../../store/store.js';
import { toHttpError } from './errors.js';

export interface ConsoleDeps {
  readonly tickets: Tickets;
  readonly agents: Agents;
  readonly store: Store;
  readonly log: Log;
  /** Aborts when the controller ends. */
  readonly signal: AbortSignal;
}

const FRAME_MAX_BYTES = 1024 * 1024;
const PING_MS = 20_000;
const OPEN_MS = 10_000;
/** Close codes: RFC 6455, 7.4. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const SERVER_ERROR = 1011;

/** Takes over the socket of a WebSocket request for /console. */
export type ConsoleUpgrade = (url: URL, request: IncomingMessage, socket: Duplex, head: Buffer) => Promise<void>;

/**
 * Bytes between a browser or program and a VM's screen or serial line, through the agent's dial-out. The ticket is spent by the
 * attempt, also by one that fails: a refusal is an HTTP answer, so that nobody without a ticket reaches the WebSocket code.
 */
export function createConsole(deps: ConsoleDeps): ConsoleUpgrade {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_MAX_BYTES,
    // Screens are compressed already, and compression costs memory for each connection.
    perMessageDeflate: false,
    handleProtocols: (protocols) => (protocols.has('binary') ? 'binary' : false),
  });
  return async (url, request, socket, head) => {
    // A client that leaves during the handshake is no event of ours.
    socket.on('error', () => undefined);
    const ended = new AbortController();
    const signal = AbortSignal.any([deps.signal, ended.signal]);
    socket.once('close', () => ended.abort());
    let tunnel: Duplex;
    let what: string;
    try {
      const grant = deps.tickets.redeem(url.searchParams.get('ticket') ?? '', url.searchParams.get('vm') ?? undefined);
      what = `${grant.kind} of ${grant.vmId} for ${grant.actor}`;
      const vm = deps.store.get('vm', grant.vmId)?.value;
      if (vm === undefined || vm.hostId === '') throw new OstlerError('NOT_FOUND', 'The VM is gone.');
      tunnel = await openWithin(deps, vm.hostId, vm.record.uuid, grant.kind, signal);
    } catch (error) {
      refuse(socket, error);
      return;
    }
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      deps.log.info({ console: what }, 'console opened');
      void join(websocket, tunnel, deps).finally(() => {
        ended.abort();
        deps.log.info({ console: what }, 'console closed');
      });
    });
    if (socket.destroyed) tunnel.destroy();
  };
}

async function openWithin(
  deps: ConsoleDeps,
  hostId: string,
  uuid: string,
  kind: 'serial' | 'vnc',
  signal: AbortSignal,
): Promise<Duplex> {
  const late = AbortSignal.timeout(OPEN_MS);
  const opening = deps.agents.openTunnel(hostId, uuid, kind, signal);
  return new Promise((resolve, reject) => {
    late.addEventListener('abort', () =>
      reject(new OstlerError('TIMEOUT', 'The agent did not open the console in time.', { remedy: 'Try again.' })),
    );
    opening.then(resolve, (error: unknown) => reject(toOstlerError(error)));
  });
}

/** Moves bytes both ways until one side ends. Both directions stop reading when the other side is slow. */
async function join(websocket: WebSocket, tunnel: Duplex, deps: ConsoleDeps): Promise<void> {
  const stream = createWebSocketStream(websocket, {
    readableHighWaterMark: 64 * 1024,
    writableHighWaterMark: 64 * 1024,
  });
  let alive = true;
  websocket.on('pong', () => (alive = true));
  const pings = setInterval(() => {
    if (!alive) websocket.terminate();
    alive = false;
    websocket.ping();
  }, PING_MS);
  const onEnd = (): void => websocket.close(GOING_AWAY, 'the controller ends');
  deps.signal.addEventListener('abort', onEnd, { once: true });
  try {
    // The WebSocket is closed by hand, with a reason; the pipeline would only cut it.
    await Promise.race([pipeline(stream, tunnel), pipeline(tunnel, stream, { end: false })]);
    websocket.close(NORMAL, 'the console ended');
  } catch (error) {
    const { message, code } = toOstlerError(error);
    const left = (error as NodeJS.ErrnoException).code === 'ERR_STREAM_PREMATURE_CLOSE';
    // A close frame holds 123 bytes of reason.
    if (!left)
      websocket.close(
        SERVER_ERROR,
        Buffer.from(`${code}: ${message}`)
          .subarray(0, 120)
          .toString()
          .replace(/\ufffd+$/, ''),
      );
    else websocket.close(NORMAL, 'the console ended');
  } finally {
    clearInterval(pings);
    deps.signal.removeEventListener('abort', onEnd);
    tunnel.destroy();
  }
}

function refuse(socket: Duplex, error: unknown): void {
  const { status, body } = toHttpError(error);
  const head = [
    `HTTP/1.1 ${status} Refused`,
    'content-type: application/json',
    `content-length: ${Buffer.byteLength(body)}`,
    'cache-control: no-store',
    'connection: close',
  ];
  socket.end(`${head.join('\r\n')}\r\n\r\n${body}`);
}
