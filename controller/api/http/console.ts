import type { IncomingMessage } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import { invalidField, OstlerError, toOstlerError } from '../../../proto/kit/errors.js';
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
/** Waiting to be sent to a viewer; more than this stops the guest's side. */
const BUFFER_BYTES = 64 * 1024;
const PING_MS = 20_000;
const OPEN_MS = 10_000;
/** Close codes: RFC 6455, 7.4. */
const NORMAL = 1000;
const GOING_AWAY = 1001;
const SERVER_ERROR = 1011;

export interface Consoles {
  /** Takes over the socket of a WebSocket request for /console. */
  upgrade(url: URL, request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void>;
  /** The answer to a plain request for the same address: what is wrong with its ticket. */
  refusal(url: URL): OstlerError;
}

/**
 * Bytes between a browser or program and a VM's screen or serial line, through the agent's dial-out. The ticket is spent by the
 * attempt, also by one that fails: a refusal is an HTTP answer, so that nobody without a ticket reaches the WebSocket code.
 */
export function createConsole(deps: ConsoleDeps): Consoles {
  const sockets = new WebSocketServer({
    noServer: true,
    maxPayload: FRAME_MAX_BYTES,
    // Screens are compressed already, and compression costs memory for each connection.
    perMessageDeflate: false,
    handleProtocols: (protocols) => (protocols.has('binary') ? 'binary' : false),
  });
  const upgrade: Consoles['upgrade'] = async (url, request, socket, head) => {
    // A client that leaves during the handshake is no event of ours.
    socket.on('error', () => undefined);
    const ended = new AbortController();
    const signal = AbortSignal.any([deps.signal, ended.signal]);
    socket.once('close', () => ended.abort());
    const ticket = ticketOf(url);
    let tunnel: Duplex;
    let what: string;
    try {
      const grant = deps.tickets.redeem(ticket, url.searchParams.get('vm') ?? undefined);
      what = `${grant.kind} of ${grant.vmId} for ${grant.actor}`;
      const vm = deps.store.get('vm', grant.vmId)?.value;
      if (vm === undefined || vm.hostId === '') throw new OstlerError('NOT_FOUND', 'The VM is gone.');
      tunnel = await openWithin(deps, vm.hostId, vm.record.uuid, grant.kind, signal);
    } catch (error) {
      deps.tickets.noteRefusal(ticket, toOstlerError(error));
      refuse(socket, error);
      return;
    }
    // Also of a request that turns out to be no WebSocket handshake.
    socket.once('close', () => tunnel.destroy());
    if (socket.destroyed) tunnel.destroy();
    sockets.handleUpgrade(request, socket, head, (websocket) => {
      deps.log.info({ console: what }, 'console opened');
      void join(websocket, tunnel, deps.signal).finally(() => {
        ended.abort();
        deps.log.info({ console: what }, 'console closed');
      });
    });
  };
  return {
    upgrade,
    refusal: (url) =>
      deps.tickets.refusal(ticketOf(url)) ?? invalidField('upgrade', 'is missing: this address is for WebSockets'),
  };
}

function ticketOf(url: URL): string {
  return url.searchParams.get('ticket') ?? '';
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
    opening.then(
      (tunnel) => {
        // Also one that nobody waits for any more may break.
        tunnel.on('error', () => undefined);
        if (late.aborted) tunnel.destroy();
        else resolve(tunnel);
      },
      (error: unknown) => reject(toOstlerError(error)),
    );
  });
}

/**
 * Moves bytes both ways until one side ends; whichever side is slow, the other one is not read meanwhile. By hand and not with
 * stream.pipeline: that one cuts the WebSocket when the tunnel breaks, and the viewer would not learn why.
 */
function join(websocket: WebSocket, tunnel: Duplex, signal: AbortSignal): Promise<void> {
  const finish = (code: number, reason: string): void => {
    tunnel.destroy();
    websocket.close(code, reason);
  };
  websocket.on('message', (data: Buffer) => {
    if (tunnel.writable && !tunnel.write(data)) websocket.pause();
  });
  tunnel.on('drain', () => websocket.resume());
  tunnel.on('data', (chunk: Buffer) => {
    if (websocket.readyState !== websocket.OPEN) return;
    websocket.send(chunk, () => {
      if (websocket.bufferedAmount < BUFFER_BYTES) tunnel.resume();
    });
    if (websocket.bufferedAmount >= BUFFER_BYTES) tunnel.pause();
  });
  tunnel.once('end', () => finish(NORMAL, 'the console ended'));
  tunnel.once('error', (error) => finish(SERVER_ERROR, closeReason(error)));
  tunnel.once('close', () => finish(NORMAL, 'the console ended'));
  const onEnd = (): void => finish(GOING_AWAY, 'the controller ends');
  signal.addEventListener('abort', onEnd, { once: true });

  let alive = true;
  websocket.on('pong', () => (alive = true));
  const pings = setInterval(() => {
    if (!alive) websocket.terminate();
    alive = false;
    websocket.ping();
  }, PING_MS);
  // A frame that is no WebSocket frame: ws closes by itself.
  websocket.on('error', () => undefined);
  return new Promise((resolve) => {
    websocket.once('close', () => {
      clearInterval(pings);
      signal.removeEventListener('abort', onEnd);
      tunnel.destroy();
      resolve();
    });
  });
}

/** `CODE: message`, within the 123 bytes of a close frame, and never cut within a character. */
function closeReason(thrown: Error): string {
  const { message, code } = toOstlerError(thrown);
  return Buffer.from(`${code}: ${message}`)
    .subarray(0, 120)
    .toString()
    .replace(/\ufffd+$/, '');
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
