/**
 * Framing (libvirt's docs/kbase/internals/rpc.rst): a length word that counts itself, six header words, the payload.
 */
import type { Writer } from './xdr.js';

/** Bytes before the payload: the length word and the header. */
export const HEADER = 28;
/** VIR_NET_MESSAGE_MAX with the length word and header beside it. */
export const FRAME_MAX = 32 * 1024 * 1024 + HEADER;
/** The daemon takes at most this much payload in one stream packet (VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX). */
export const STREAM_PACKET_MAX = 262120;
const VERSION = 1;

export const TYPE = { call: 0, reply: 1, message: 2, stream: 3, callWithFds: 4, replyWithFds: 5, hole: 6 } as const;
export const STATUS = { ok: 0, error: 1, more: 2 } as const;

export interface Header {
  readonly program: number;
  readonly procedure: number;
  readonly type: number;
  readonly serial: number;
  readonly status: number;
}

export interface Frame extends Header {
  /** A view that is valid until the frame's handler returns, unless the handler holds on to it (it is never reused). */
  readonly payload: Buffer;
}

export class FrameError extends Error {
  override readonly name = 'FrameError';
}

/** Writes one frame; when the body cannot be encoded nothing is left behind. */
export function writeFrame(w: Writer, h: Header, body?: (w: Writer) => void): void {
  const start = w.room(HEADER);
  const b = w.buf;
  b.writeUInt32BE(h.program, start + 4);
  b.writeUInt32BE(VERSION, start + 8);
  b.writeUInt32BE(h.procedure, start + 12);
  b.writeUInt32BE(h.type, start + 16);
  b.writeUInt32BE(h.serial, start + 20);
  b.writeUInt32BE(h.status, start + 24);
  try {
    body?.(w);
    if (w.pos - start > FRAME_MAX) throw new FrameError(`a message of ${w.pos - start} bytes is over libvirt's limit`);
  } catch (e) {
    w.pos = start;
    throw e;
  }
  // The body may have moved the buffer: not `b`.
  w.buf.writeUInt32BE(w.pos - start, start);
}

function parseFrame(b: Buffer, at: number, length: number): Frame {
  const version = b.readUInt32BE(at + 8);
  if (version !== VERSION) throw new FrameError(`protocol version ${version} is not ${VERSION}`);
  return {
    program: b.readUInt32BE(at + 4),
    procedure: b.readUInt32BE(at + 12),
    type: b.readUInt32BE(at + 16),
    serial: b.readUInt32BE(at + 20),
    status: b.readUInt32BE(at + 24),
    payload: b.subarray(at + HEADER, at + length),
  };
}

/**
 * Cuts a byte stream into frames. Bytes are gathered only up to the announced length, which is checked first; frames
 * that arrive whole are not copied. Throws FrameError on a length or version that cannot be: the stream is lost then.
 */
export function createSplitter(onFrame: (frame: Frame) => void): (chunk: Buffer) => void {
  let parts: Buffer[] = [];
  let gathered = 0;
  /** Bytes needed before anything can be done: the length word, then the frame. */
  let need = 4;

  const lengthAt = (b: Buffer, at: number): number => {
    const length = b.readUInt32BE(at);
    if (length < HEADER || length > FRAME_MAX) throw new FrameError(`${length} is no frame length`);
    return length;
  };

  return (chunk) => {
    let buf = chunk;
    if (gathered > 0) {
      parts.push(chunk);
      gathered += chunk.length;
      if (gathered < need) return;
      buf = Buffer.concat(parts, gathered);
      parts = [];
      gathered = 0;
    }
    let at = 0;
    for (;;) {
      const left = buf.length - at;
      need = left >= 4 ? lengthAt(buf, at) : 4;
      if (left < need) break;
      const frame = parseFrame(buf, at, need);
      at += need;
      onFrame(frame);
    }
    if (at < buf.length) {
      parts = [buf.subarray(at)];
      gathered = buf.length - at;
    }
  };
}
