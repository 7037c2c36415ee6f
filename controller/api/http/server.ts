import { createServer as createHttp, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createHttps } from 'node:https';
import type { AddressInfo } from 'node:net';
import type { Log } from '../../../proto/kit/log.js';
import type { KeyAndChain } from '../../ca/authority.js';
import type { Bridge } from './bridge.js';
import type { Consoles } from './console.js';
import { send, sendError } from './errors.js';
import type { StaticFiles } from './static.js';

export interface HttpOptions {
  readonly host: string;
  readonly port: number;
  /** Undefined: plain HTTP, on loopback. */
  readonly tls: KeyAndChain | undefined;
}

export interface HttpDeps {
  readonly bridge: Bridge;
  readonly console: Consoles;
  readonly files: StaticFiles;
  /** Throws what the client is to see: UNAUTHENTICATED. */
  readonly metrics: (request: IncomingMessage) => Promise<string>;
  readonly healthy: () => boolean;
  readonly log: Log;
}

export interface HttpServer {
  readonly port: number;
  close(): Promise<void>;
}

/** For every answer. Scripts and styles of our own only; nobody may frame the console and steal its clicks. */
const SECURITY_HEADERS: Readonly<Record<string, string>> = {
  'content-security-policy':
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  'x-content-type-options': 'nosniff',
  'x-frame-options': 'DENY',
  // Console addresses carry a ticket.
  'referrer-policy': 'no-referrer',
  'cross-origin-opener-policy': 'same-origin',
  'cross-origin-resource-policy': 'same-origin',
  'cache-control': 'no-store',
};

const CONNECTIONS_MAX = 2000;

/** One port for browsers and HTTP programs: the API as JSON, consoles, metrics, UI files. */
export async function startHttp(options: HttpOptions, deps: HttpDeps): Promise<HttpServer> {
  const limits = { requestTimeout: 60_000, headersTimeout: 10_000, keepAliveTimeout: 60_000, maxHeaderSize: 16 * 1024 };
  const server: Server =
    options.tls === undefined
      ? createHttp(limits)
      : createHttps({ ...limits, key: options.tls.keyPem, cert: options.tls.chainPem, minVersion: 'TLSv1.2' });
  server.maxConnections = CONNECTIONS_MAX;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    for (const [name, value] of Object.entries(SECURITY_HEADERS)) response.setHeader(name, value);
    answer(request, response, deps).catch((error: unknown) => {
      sendError(response, error);
    });
  });
  server.on('upgrade', (request, socket, head) => {
    const url = urlOf(request);
    if (url?.pathname !== '/console') {
      socket.end('HTTP/1.1 404 Not Found\r\nconnection: close\r\ncontent-length: 0\r\n\r\n');
      return;
    }
    deps.console.upgrade(url, request, socket, head).catch((error: unknown) => {
      deps.log.error({ err: error }, 'console failed');
      socket.destroy();
    });
  });
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen(options.port, options.host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

function urlOf(request: IncomingMessage): URL | undefined {
  try {
    return new URL(request.url ?? '/', 'http://localhost');
  } catch {
    return undefined;
  }
}

async function answer(request: IncomingMessage, response: ServerResponse, deps: HttpDeps): Promise<void> {
  const url = urlOf(request);
  const path = url?.pathname ?? '';
  if (await deps.bridge(path, request, response)) return;
  // Nothing else takes a body.
  request.resume();
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    send(response, 404, 'text/plain', 'no such method\n');
    return;
  }
  if (path === '/healthz') {
    const healthy = deps.healthy();
    send(response, healthy ? 200 : 503, 'text/plain', healthy ? 'ok\n' : 'not serving\n');
    return;
  }
  if (path === '/metrics') {
    send(response, 200, 'text/plain; version=0.0.4; charset=utf-8', await deps.metrics(request));
    return;
  }
  if (url?.pathname === '/console') throw deps.console.refusal(url);
  const file = deps.files.get(path);
  if (file === undefined) {
    send(response, 404, 'text/plain', 'not found\n');
    return;
  }
  if (path.startsWith('/novnc/')) response.setHeader('cache-control', 'public, max-age=3600');
  send(response, 200, file.type, file.body);
}
