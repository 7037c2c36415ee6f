/**
 * Data streams as Node streams. The protocol has no flow control per stream, only the socket's: a reader that pauses
 * stops everything on the connection. Every stream therefore has a connection of its own, which these functions are
 * given and end together with the stream.
 */
import { Duplex, Readable, Writable } from 'node:stream';
import type { Connection, StreamChannel, StreamHandler } from './connection.js';
import { ConnectionError } from './errors.js';
import { STREAM_PACKET_MAX } from './frame.js';
import type { Args, ProcedureName, Result } from './procedures.js';
import { decode, encode, flags, signedAmount, struct } from './xdr.js';

/** A stretch of zeros that is not sent. */
export interface Hole {
  readonly hole: number;
}
export type SparseChunk = Buffer | Hole;

const holeCodec = struct({ length: signedAmount, flags });

/** Sends all bytes in packets the daemon takes; `done` runs when the kernel has the last. */
function sendAll(channel: StreamChannel, bytes: Uint8Array, done: () => void): void {
  let at = 0;
  const next = (): void => {
    const end = Math.min(at + STREAM_PACKET_MAX, bytes.length);
    const packet = bytes.subarray(at, end);
    at = end;
    channel.send(packet, at < bytes.length ? next : done);
  };
  // An empty packet means the end to the daemon.
  if (bytes.length === 0) done();
  else next();
}

const cutShort = (): ConnectionError => new ConnectionError('CLOSED', 'the stream ended before it was finished');

/** What reading from a daemon's stream has in common: data, holes, the end, and the pause when nobody reads. */
function incoming(connection: Connection, sink: Readable, holes: 'zeros' | 'objects'): StreamHandler & Ends {
  let channel: StreamChannel | undefined;
  let atEnd = false;
  const push = (chunk: unknown): void => {
    if (!sink.push(chunk)) connection.pause();
  };
  const self = {
    opened(c: StreamChannel): void {
      channel = c;
      if (atEnd) c.finish();
    },
    onData(payload: Buffer): void {
      if (payload.length > 0) {
        push(payload);
        return;
      }
      // An empty packet is the end of the data; the daemon wants it confirmed, and confirms in turn.
      atEnd = true;
      channel?.finish();
    },
    onHole(payload: Buffer): void {
      const { length } = decode(holeCodec, payload);
      if (holes === 'objects') {
        push({ hole: length } satisfies Hole);
        return;
      }
      for (let left = length; left > 0; left -= STREAM_PACKET_MAX)
        push(Buffer.alloc(Math.min(left, STREAM_PACKET_MAX)));
    },
    onFinish(): void {
      sink.push(null);
    },
    onError(error: Error): void {
      sink.destroy(error);
    },
  };
  return self;
}

interface Ends {
  opened(channel: StreamChannel): void;
}

type ReadName = 'storageVolDownload' | 'domainScreenshot';

/** Opens a stream the daemon sends. With `objects`, holes come as `{hole: bytes}`; else as zeros. */
export async function openReadable<N extends ReadName>(
  connection: Connection,
  name: N,
  args: Args<N>,
  holes: 'zeros' | 'objects' = 'zeros',
): Promise<{ result: Result<N>; stream: Readable }> {
  const stream = new Readable({
    objectMode: holes === 'objects',
    read: () => connection.resume(),
    destroy: (error, done) => {
      connection.close();
      done(error);
    },
  });
  const handler = incoming(connection, stream, holes);
  const { result, channel } = await openOrClose(connection, name, args, handler);
  handler.opened(channel);
  return { result, stream };
}

/** Opens a stream the daemon receives; finishing it waits for the daemon's confirmation that all is written. */
export async function openWritable(
  connection: Connection,
  args: Args<'storageVolUpload'>,
  mode: 'bytes' | 'sparse' = 'bytes',
): Promise<Writable> {
  const open: { channel?: StreamChannel } = {};
  let finished: ((error?: Error | null) => void) | undefined;
  const stream = new Writable({
    objectMode: mode === 'sparse',
    write(chunk: SparseChunk, _encoding, done) {
      if (open.channel === undefined || !connection.alive) {
        done(cutShort());
        return;
      }
      if (chunk instanceof Uint8Array) {
        sendAll(open.channel, chunk, done);
        return;
      }
      open.channel.sendHole(encode(holeCodec, { length: chunk.hole }), done);
    },
    final(done) {
      finished = done;
      open.channel?.finish();
    },
    destroy(error, done) {
      if (finished === undefined) open.channel?.abort();
      connection.close();
      done(error);
    },
  });
  const opened = await openOrClose(connection, 'storageVolUpload', args, {
    onData: () => undefined,
    onHole: () => undefined,
    onFinish: () => finished?.(),
    onError: (error) => stream.destroy(error),
  });
  open.channel = opened.channel;
  return stream;
}

/** Opens a stream of both directions: a console or a channel. */
export async function openDuplex<N extends 'domainOpenConsole' | 'domainOpenChannel'>(
  connection: Connection,
  name: N,
  args: Args<N>,
): Promise<Duplex> {
  const open: { channel?: StreamChannel } = {};
  const stream = new Duplex({
    allowHalfOpen: false,
    read: () => connection.resume(),
    write(chunk: Buffer, _encoding, done) {
      if (open.channel === undefined || !connection.alive) {
        done(cutShort());
        return;
      }
      sendAll(open.channel, chunk, done);
    },
    destroy(error, done) {
      open.channel?.abort();
      connection.close();
      done(error);
    },
  });
  const handler = incoming(connection, stream, 'zeros');
  const opened = await openOrClose(connection, name, args, handler);
  open.channel = opened.channel;
  handler.opened(open.channel);
  return stream;
}

async function openOrClose<N extends ProcedureName>(
  connection: Connection,
  name: N,
  args: Args<N>,
  handler: StreamHandler,
): Promise<{ result: Result<N>; channel: StreamChannel }> {
  try {
    return await connection.openStream(name, args, handler);
  } catch (e) {
    connection.close();
    throw e;
  }
}
