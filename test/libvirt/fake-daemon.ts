/**
 * A libvirt daemon made of the client's own codecs, for what a real one does only on a bad day: silence, half replies,
 * hostile lengths, a dead daemon behind a proxy, and five unfinished calls after which it stops reading.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import type { Server, Socket } from 'node:net';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { errorCodec } from '../../agent/libvirt/errors.js';
import { eventTable } from '../../agent/libvirt/event-table.js';
import type { EventKind } from '../../agent/libvirt/event-table.js';
import type { Frame } from '../../agent/libvirt/frame.js';
import { STATUS, TYPE, createSplitter, writeFrame } from '../../agent/libvirt/frame.js';
import type { AnyProcedure } from '../../agent/libvirt/procedure.js';
import { PROGRAM } from '../../agent/libvirt/procedure.js';
import type { ProcedureName } from '../../agent/libvirt/procedures.js';
import { procedures } from '../../agent/libvirt/procedures.js';
import type { Codec } from '../../agent/libvirt/xdr.js';
import { Writer, decode, i32, struct } from '../../agent/libvirt/xdr.js';

/** Thrown by a handler: the reply is this error. */
export class FakeError extends Error {
  readonly code: number;
  readonly domain: number;
  constructor(code: number, domain: number, message: string) {
    super(message);
    this.code = code;
    this.domain = domain;
  }
}

/** Returned by a handler: no reply, ever. */
export const SILENCE = Symbol('silence');

type Handler = (args: never, peer: FakePeer) => unknown;

export interface FakePeer {
  /** Sends a frame built from these. */
  send(type: number, procedure: number, serial: number, status: number, body?: (w: Writer) => void): void;
  /** Sends bytes as they are. */
  raw(bytes: Uint8Array): void;
  end(): void;
  readonly frames: Frame[];
}

export interface FakeDaemon {
  readonly socket: string;
  /** Answers a procedure with what the handler returns (a Buffer: encoded already); the last one given counts. */
  on(name: ProcedureName, handler: Handler): void;
  /** Sends an event to every connection. */
  event(kind: EventKind, payload: object): void;
  /** Sends event 362: the daemon behind this proxy is gone. */
  hypervisorGone(): void;
  readonly peers: ReadonlySet<FakePeer>;
  /** How often each procedure was called. */
  readonly calls: Map<string, number>;
  /** Ends every connection, as a crash does; new ones are taken again. */
  drop(): void;
  close(): Promise<void>;
}

export interface FakeOptions {
  /** Unfinished calls of one connection after which it is not read any more; libvirt's 5. */
  readonly maxClientRequests?: number;
  /** Whether pings are answered. */
  readonly pong?: boolean;
}

const byNumber = new Map<string, { name: ProcedureName; procedure: AnyProcedure }>(
  Object.entries(procedures).map(([name, p]) => [
    `${p.program}/${p.number}`,
    { name: name as ProcedureName, procedure: p },
  ]),
);

const DEFAULTS: Partial<Record<ProcedureName, Handler>> = {
  authList: () => ({ types: [0] }),
  connectSupportsFeature: () => ({ supported: true }),
  connectOpen: () => ({}),
  connectRegisterCloseCallback: () => ({}),
  connectDomainEventCallbackRegisterAny: () => ({ callbackID: 7 }),
  connectDomainEventCallbackDeregisterAny: () => ({}),
};

const asIs: Codec<unknown, Buffer> = {
  sig: '',
  min: 0,
  enc: (w, v) => {
    w.append(v);
  },
  dec: () => undefined,
};

export async function startFakeDaemon(options: FakeOptions = {}): Promise<FakeDaemon> {
  const dir = mkdtempSync(join(tmpdir(), 'fake-libvirtd-'));
  const socket = join(dir, 'libvirt-sock');
  const handlers = new Map<string, Handler>(Object.entries(DEFAULTS));
  const peers = new Set<FakePeer>();
  const calls = new Map<string, number>();

  const serve = (s: Socket): void => {
    let unfinished = 0;
    const peer: FakePeer = {
      frames: [],
      raw: (bytes) => void s.write(bytes),
      end: () => void s.destroy(),
      send(type, procedure, serial, status, body) {
        const w = new Writer();
        const program = type === TYPE.message && procedure < 8 ? PROGRAM.qemu : PROGRAM.remote;
        writeFrame(w, { program, procedure, type, serial, status }, body);
        if (!s.destroyed) s.write(w.bytes());
      },
    };
    const reply = (frame: Frame, status: number, codec: Codec<unknown, never>, value: unknown): void => {
      const w = new Writer();
      const { program, procedure, serial } = frame;
      writeFrame(w, { program, procedure, type: TYPE.reply, serial, status }, (x) => codec.enc(x, value as never));
      if (!s.destroyed) s.write(w.bytes());
      unfinished--;
      if (s.isPaused()) s.resume();
    };
    const onCall = async (frame: Frame): Promise<void> => {
      const known = byNumber.get(`${frame.program}/${frame.procedure}`);
      const fail = (code: number, domain: number, message: string): void =>
        reply(frame, STATUS.error, errorCodec, { code, domain, message, level: 2, int1: 0, int2: 0 });
      unfinished++;
      if (unfinished >= (options.maxClientRequests ?? 5)) s.pause();
      const handler = known && handlers.get(known.name);
      if (handler === undefined) {
        fail(39, 7, `unknown procedure: ${frame.procedure}`);
        return;
      }
      calls.set(known!.name, (calls.get(known!.name) ?? 0) + 1);
      try {
        const args: unknown = decode(known!.procedure.args as Codec<unknown, never>, frame.payload);
        const value: unknown = await handler(args as never, peer);
        if (Buffer.isBuffer(value)) reply(frame, STATUS.ok, asIs, value);
        else if (value !== SILENCE) reply(frame, STATUS.ok, known!.procedure.ret as Codec<unknown, never>, value);
      } catch (e) {
        if (e instanceof FakeError) fail(e.code, e.domain, e.message);
        else fail(1, 0, String(e));
      }
    };
    const split = createSplitter((frame) => {
      peer.frames.push(frame);
      if (frame.program === PROGRAM.keepalive) {
        const pong = { program: PROGRAM.keepalive, procedure: 2, type: TYPE.message, serial: 0, status: STATUS.ok };
        const w = new Writer();
        writeFrame(w, pong);
        if (frame.procedure === 1 && options.pong !== false) s.write(w.bytes());
      } else if (frame.type === TYPE.call) void onCall(frame);
    });
    s.on('data', split);
    s.on('error', () => undefined);
    s.once('close', () => peers.delete(peer));
    peers.add(peer);
  };

  const server: Server = createServer(serve);
  await new Promise<void>((resolve) => server.listen(socket, resolve));
  return {
    socket,
    peers,
    calls,
    on: (name, handler) => void handlers.set(name, handler),
    event(kind, payload) {
      const { number, payload: codec } = eventTable[kind];
      for (const p of peers) {
        p.send(TYPE.message, number, 0, STATUS.ok, (w) => (codec as Codec<unknown, never>).enc(w, payload as never));
      }
    },
    hypervisorGone() {
      for (const p of peers)
        p.send(TYPE.message, 362, 0, STATUS.ok, (w) => struct({ reason: i32 }).enc(w, { reason: 1 }));
    },
    drop() {
      for (const p of [...peers]) p.end();
    },
    async close() {
      for (const p of [...peers]) p.end();
      await new Promise((resolve) => server.close(resolve));
      rmSync(dir, { recursive: true, force: true });
    },
  };
}

/** A domain handle by number. */
export const fakeDomain = (n: number) => ({
  name: `vm${n}`,
  uuid: `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
  id: n,
});
