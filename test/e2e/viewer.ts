import { once } from 'node:events';
import type { IncomingMessage } from 'node:http';
import { WebSocket, type RawData } from 'ws';
import { eventually } from './eventually.js';

/** Somebody who looks at a console. */
export interface Viewer {
  readonly socket: WebSocket;
  /** Everything that came, as Latin-1. */
  text(): string;
  bytes(): Buffer;
  type(text: string): void;
  /** Waits until the text matches. @throws Error with its end after `seconds` */
  sees(pattern: RegExp, seconds?: number): Promise<RegExpExecArray>;
  /** How the WebSocket was closed. */
  readonly closed: Promise<{ readonly code: number; readonly reason: string }>;
}

/** @throws Error with the answer's status and JSON when the WebSocket is refused */
export async function openViewer(url: string): Promise<Viewer> {
  const socket = new WebSocket(url);
  const chunks: Buffer[] = [];
  socket.on('message', (data) => chunks.push(bytesOf(data)));
  const refused = new Promise<never>((_, reject) => {
    socket.once('unexpected-response', (_request: unknown, response: IncomingMessage) => {
      refusalOf(response).then(reject, reject);
    });
  });
  refused.catch(() => undefined);
  await Promise.race([once(socket, 'open'), refused]);
  const bytes = (): Buffer => Buffer.concat(chunks);
  const text = (): string => bytes().toString('latin1');
  return {
    socket,
    text,
    bytes,
    type: (typed) => socket.send(Buffer.from(typed)),
    sees: (pattern, seconds = 60) =>
      eventually(`${pattern.source} on the console`, seconds, () => {
        const match = pattern.exec(text());
        return match === null ? Promise.reject(new Error(`its end is: ${text().slice(-300)}`)) : Promise.resolve(match);
      }),
    closed: new Promise((resolve) => {
      socket.once('close', (code, reason) => resolve({ code, reason: reason.toString() }));
    }),
  };
}

export class Refused extends Error {
  readonly status: number;
  readonly reason: string;
  constructor(status: number, reason: string, message: string) {
    super(message);
    this.status = status;
    this.reason = reason;
  }
}

async function refusalOf(response: IncomingMessage): Promise<Refused> {
  let body = '';
  for await (const chunk of response as AsyncIterable<Buffer>) body += chunk.toString();
  if (response.headers['content-type'] !== 'application/json') return new Refused(response.statusCode ?? 0, '', body);
  const parsed = JSON.parse(body) as { message: string; details: { debug: { reason: string } }[] };
  return new Refused(response.statusCode ?? 0, parsed.details[0]?.debug.reason ?? '', parsed.message);
}

function bytesOf(data: RawData): Buffer {
  return Array.isArray(data) ? Buffer.concat(data) : Buffer.from(data as Buffer);
}
