/**
 * XDR (RFC 4506) as libvirt uses it: a codec is an encoder, a decoder and the layout they agree on. Everything is
 * big-endian and padded to four bytes; `char` and `short` take a whole word on the wire.
 *
 * A codec's `sig` spells its layout in a notation of our own (`{string,opaque[16],i32}`), so that a development tool can
 * compare the procedure table with libvirt's protocol files without trusting either side's names.
 */

/** Bytes that are not what the layout says. Fails one reply; the connection can go on, as frames carry their own length. */
export class XdrError extends Error {
  override readonly name = 'XdrError';
}

/** `Out` is what decoding gives; `In` is what encoding takes, which may be looser (a missing optional field). */
export interface Codec<Out, In = Out> {
  readonly sig: string;
  /** Fewest bytes a value takes: bounds a hostile element count before anything is allocated. */
  readonly min: number;
  enc(w: Writer, value: In): void;
  dec(r: Reader): Out;
  /** Decodes in steps for replies too large for one go: yields now and then, returns the value. */
  steps?(r: Reader): Generator<undefined, Out, undefined>;
}
// eslint-disable-next-line @typescript-eslint/no-explicit-any -- any codec at all: the bound of the mapped types below
export type AnyCodec = Codec<any, any>;
export type Out<C> = C extends Codec<infer T, infer _I> ? T : never;
export type In<C> = C extends Codec<infer _O, infer T> ? T : never;

/** libvirt's limit for one string (REMOTE_STRING_MAX and VIR_NET_MESSAGE_STRING_MAX). */
export const STRING_MAX = 4 * 1024 * 1024;

const pad = (n: number): number => (n + 3) & ~3;

/** A growing buffer. `take` hands the bytes out and starts afresh. */
export class Writer {
  buf: Buffer;
  pos = 0;

  constructor(size = 512) {
    this.buf = Buffer.allocUnsafe(size);
  }

  /** Makes room for n bytes, moves on and returns where they begin. Moves `buf`: read it afterwards. */
  room(n: number): number {
    const at = this.pos;
    const end = at + n;
    if (end > this.buf.length) {
      const grown = Buffer.allocUnsafe(Math.max(end, this.buf.length * 2));
      this.buf.copy(grown, 0, 0, at);
      this.buf = grown;
    }
    this.pos = end;
    return at;
  }

  u32(v: number): void {
    const at = this.room(4);
    this.buf.writeUInt32BE(v, at);
  }

  i32(v: number): void {
    const at = this.room(4);
    this.buf.writeInt32BE(v, at);
  }

  u64(v: bigint): void {
    const at = this.room(8);
    this.buf.writeBigUInt64BE(BigInt.asUintN(64, v), at);
  }

  f64(v: number): void {
    const at = this.room(8);
    this.buf.writeDoubleBE(v, at);
  }

  /** Raw bytes, without length or padding. */
  append(bytes: Uint8Array): void {
    const at = this.room(bytes.length);
    this.buf.set(bytes, at);
  }

  /** Raw bytes and their padding, without a length. */
  raw(bytes: Uint8Array): void {
    const at = this.room(pad(bytes.length));
    this.buf.set(bytes, at);
    this.buf.fill(0, at + bytes.length, this.pos);
  }

  /** Drops everything but keeps the memory. */
  reset(): void {
    this.pos = 0;
  }

  bytes(): Buffer {
    return this.buf.subarray(0, this.pos);
  }
}

export class Reader {
  readonly buf: Buffer;
  pos: number;
  readonly end: number;

  constructor(buf: Buffer, pos = 0, end = buf.length) {
    this.buf = buf;
    this.pos = pos;
    this.end = end;
  }

  /** Moves over n bytes and returns where they began. */
  skip(n: number): number {
    const at = this.pos;
    if (n > this.end - at) throw new XdrError(`the message ends ${n - (this.end - at)} bytes too early`);
    this.pos = at + n;
    return at;
  }

  u32(): number {
    return this.i32() >>> 0;
  }

  i32(): number {
    return this.buf.readInt32BE(this.skip(4));
  }

  /** A length or count, refused beyond `max` and beyond what the rest of the message could hold. */
  count(max: number, elementMin: number): number {
    const n = this.u32();
    if (n > max) throw new XdrError(`length ${n} is over the limit of ${max}`);
    if (n * elementMin > this.end - this.pos) throw new XdrError(`length ${n} is more than the message holds`);
    return n;
  }

  /** Moves over n bytes and their padding; returns where the bytes began. */
  padded(n: number): number {
    return this.skip(pad(n));
  }

  finish(): void {
    if (this.pos !== this.end) throw new XdrError(`${this.end - this.pos} bytes follow the end of the value`);
  }
}

function codec<O, I = O>(
  sig: string,
  min: number,
  enc: (w: Writer, value: I) => void,
  dec: (r: Reader) => O,
): Codec<O, I> {
  return { sig, min, enc, dec };
}

const refuse = (what: string, value: unknown): never => {
  throw new XdrError(`${String(value)} is not ${what}`);
};

export const i32: Codec<number> = codec(
  'i32',
  4,
  (w, v) => (v === (v | 0) ? w.i32(v) : refuse('a 32-bit integer', v)),
  (r) => r.i32(),
);

export const u32: Codec<number> = codec(
  'u32',
  4,
  (w, v) => (v === v >>> 0 ? w.u32(v) : refuse('an unsigned 32-bit integer', v)),
  (r) => r.u32(),
);

/** libvirt's flags: an unsigned word that may be left out (0). */
export const flags: Codec<number, number | undefined> = codec(
  'u32',
  4,
  (w, v) => u32.enc(w, v ?? 0),
  (r) => r.u32(),
);

/** An `int` that means yes or no. */
export const flag: Codec<boolean> = codec(
  'i32',
  4,
  (w, v) => w.i32(v ? 1 : 0),
  (r) => r.i32() !== 0,
);

export const u64: Codec<bigint> = codec(
  'u64',
  8,
  (w, v) => (v >= 0n && v < 1n << 64n ? w.u64(v) : refuse('an unsigned 64-bit integer', v)),
  (r) => r.buf.readBigUInt64BE(r.skip(8)),
);

export const i64: Codec<bigint> = codec(
  'i64',
  8,
  (w, v) => (v >= -(1n << 63n) && v < 1n << 63n ? w.u64(v) : refuse('a 64-bit integer', v)),
  (r) => r.buf.readBigInt64BE(r.skip(8)),
);

/**
 * An unsigned 64-bit amount (bytes, KiB, milliseconds …) as a number. Decoding rounds beyond 2^53; encoding refuses what
 * is not a whole, safe number. Use `u64` where the last bit matters.
 */
export const amount: Codec<number> = codec(
  'u64',
  8,
  (w, v) => {
    if (!Number.isSafeInteger(v) || v < 0) refuse('a whole number from 0 to 2^53-1', v);
    const at = w.room(8);
    w.buf.writeUInt32BE(Math.floor(v / 0x1_0000_0000), at);
    w.buf.writeUInt32BE(v >>> 0, at + 4);
  },
  (r) => r.u32() * 0x1_0000_0000 + r.u32(),
);

/** A signed 64-bit amount as a number; the same limits as `amount`. */
export const signedAmount: Codec<number> = codec(
  'i64',
  8,
  (w, v) => (Number.isSafeInteger(v) ? w.u64(BigInt(v)) : refuse('a safe integer', v)),
  (r) => r.i32() * 0x1_0000_0000 + r.u32(),
);

export const f64: Codec<number> = codec(
  'f64',
  8,
  (w, v) => w.f64(v),
  (r) => r.buf.readDoubleBE(r.skip(8)),
);

export const str: Codec<string> = codec(
  'string',
  4,
  (w, v) => {
    const n = Buffer.byteLength(v);
    if (n > STRING_MAX) throw new XdrError(`a string of ${n} bytes is over libvirt's limit of ${STRING_MAX}`);
    // C strings: the daemon would silently cut here, so that what it does is not what was asked.
    if (v.includes('\0')) throw new XdrError('a string with a NUL character cannot be sent');
    w.u32(n);
    const at = w.room(pad(n));
    w.buf.write(v, at, 'utf8');
    w.buf.fill(0, at + n, w.pos);
  },
  (r) => {
    const n = r.count(STRING_MAX, 1);
    const at = r.padded(n);
    return r.buf.toString('utf8', at, at + n);
  },
);

/** Variable opaque data. Decoding copies: a view would keep the whole reply alive. */
export const bytes = (max: number): Codec<Buffer, Uint8Array> =>
  codec(
    'opaque<>',
    4,
    (w, v) => {
      if (v.length > max) throw new XdrError(`${v.length} bytes are over libvirt's limit of ${max}`);
      w.u32(v.length);
      w.raw(v);
    },
    (r) => {
      const n = r.count(max, 1);
      const at = r.padded(n);
      return Buffer.from(r.buf.subarray(at, at + n));
    },
  );

/** Fixed opaque data. */
export const fixed = (n: number): Codec<Buffer, Uint8Array> =>
  codec(
    `opaque[${n}]`,
    pad(n),
    (w, v) => (v.length === n ? w.raw(v) : refuse(`${n} bytes`, `${v.length} bytes`)),
    (r) => {
      const at = r.padded(n);
      return Buffer.from(r.buf.subarray(at, at + n));
    },
  );

/** A pointer: null or a value. May be left out when encoding. */
export const opt = <O, I>(of: Codec<O, I>): Codec<O | null, I | null | undefined> =>
  codec(
    `${of.sig}?`,
    4,
    (w, v) => {
      w.u32(v === null || v === undefined ? 0 : 1);
      if (v !== null && v !== undefined) of.enc(w, v);
    },
    (r) => {
      const present = r.u32();
      if (present > 1) throw new XdrError(`${present} is not a presence mark (0 or 1)`);
      return present === 0 ? null : of.dec(r);
    },
  );

export const optStr = opt(str);

/** Elements between two chances to yield while decoding in steps. */
const STEP_ELEMENTS = 16;

/** A counted array. The default limit is libvirt's usual one for lists. */
export function list<O, I>(of: Codec<O, I>, max = 16384): Codec<O[], readonly I[]> {
  const read = (r: Reader): number => r.count(max, of.min);
  return {
    sig: `${of.sig}<>`,
    min: 4,
    enc: (w, v) => {
      if (v.length > max) throw new XdrError(`${v.length} elements are over libvirt's limit of ${max}`);
      w.u32(v.length);
      for (const x of v) of.enc(w, x);
    },
    dec: (r) => {
      const n = read(r);
      const a: O[] = [];
      for (let i = 0; i < n; i++) a.push(of.dec(r));
      return a;
    },
    *steps(r) {
      const n = read(r);
      const a: O[] = [];
      for (let i = 0; i < n; i++) {
        if (i % STEP_ELEMENTS === STEP_ELEMENTS - 1) yield;
        a.push(of.dec(r));
      }
      return a;
    },
  };
}

/** A fixed array. */
export const tuple = <O, I>(of: Codec<O, I>, n: number): Codec<O[], readonly I[]> =>
  codec(
    `${of.sig}[${n}]`,
    of.min * n,
    (w, v) => {
      if (v.length !== n) refuse(`an array of ${n}`, `an array of ${v.length}`);
      for (const x of v) of.enc(w, x);
    },
    (r) => Array.from({ length: n }, () => of.dec(r)),
  );

export type Fields = Readonly<Record<string, AnyCodec>>;
type OptionalKeys<F extends Fields> = {
  [K in keyof F]: undefined extends In<F[K]> ? K : never;
}[keyof F];
export type StructOut<F extends Fields> = { [K in keyof F]: Out<F[K]> };
/** Fields whose codec takes undefined (flags, pointers) may be left out. */
export type StructIn<F extends Fields> = { readonly [K in Exclude<keyof F, OptionalKeys<F>>]: In<F[K]> } & {
  readonly [K in OptionalKeys<F>]?: In<F[K]>;
};

/** Fields one after the other, in the order they are written here. */
export function struct<F extends Fields>(fields: F): Codec<StructOut<F>, StructIn<F>> {
  const parts: readonly (readonly [string, AnyCodec])[] = Object.entries(fields);
  const codecs = parts.map(([, c]) => c);
  const self: Codec<StructOut<F>, StructIn<F>> = {
    sig: `{${codecs.map((c) => c.sig).join(',')}}`,
    min: codecs.reduce((sum, c) => sum + c.min, 0),
    enc: (w, v) => {
      for (const [name, c] of parts) encodeField(name, c, w, (v as Record<string, unknown>)[name]);
    },
    dec: (r) => {
      const o: Record<string, unknown> = {};
      for (const [name, c] of parts) o[name] = c.dec(r);
      return o as StructOut<F>;
    },
  };
  if (codecs.some((c) => c.steps !== undefined)) {
    self.steps = function* (r) {
      const o: Record<string, unknown> = {};
      for (const [name, c] of parts) o[name] = c.steps === undefined ? (c.dec(r) as unknown) : yield* c.steps(r);
      return o as StructOut<F>;
    };
  }
  return self;
}

function encodeField(name: string, c: AnyCodec, w: Writer, value: unknown): void {
  try {
    c.enc(w, value);
  } catch (e) {
    throw new XdrError(`${name}: ${e instanceof Error ? e.message : String(e)}`, { cause: e });
  }
}

export function encode<I>(c: Codec<unknown, I>, value: I): Buffer {
  const w = new Writer();
  c.enc(w, value);
  return w.bytes();
}

/** Decodes all of `buf`; bytes left over are an error, as they mean that the layout is not the daemon's. */
export function decode<O>(c: Codec<O, never>, buf: Buffer): O {
  const r = new Reader(buf);
  const value = c.dec(r);
  r.finish();
  return value;
}
