/**
 * virTypedParameter: a name, a type and a value. Two decoders share one layout: `params` keeps the type and every bit;
 * `metrics` gives a Map of plain values for bulk statistics, where 64-bit counters become numbers (rounded beyond 2^53:
 * one part in 10^16).
 */
import type { Codec, Reader, Writer } from './xdr.js';
import { XdrError, amount, f64, i32, i64, list, signedAmount, str, u32, u64 } from './xdr.js';

export type TypedParam =
  | { readonly field: string; readonly type: 'int' | 'uint' | 'double'; readonly value: number }
  | { readonly field: string; readonly type: 'llong' | 'ullong'; readonly value: bigint }
  | { readonly field: string; readonly type: 'boolean'; readonly value: boolean }
  | { readonly field: string; readonly type: 'string'; readonly value: string };

/** The wire's type numbers are the places in this list, from 1. */
const TYPES = ['int', 'uint', 'llong', 'ullong', 'double', 'boolean', 'string'] as const;

const SIG = '{string,union(i32){1:i32,2:u32,3:i64,4:u64,5:f64,6:i32,7:string}}';
const MIN = 12;

function encodeValue(w: Writer, p: TypedParam): void {
  switch (p.type) {
    case 'int': {
      i32.enc(w, p.value);
      return;
    }
    case 'uint': {
      u32.enc(w, p.value);
      return;
    }
    case 'llong': {
      i64.enc(w, p.value);
      return;
    }
    case 'ullong': {
      u64.enc(w, p.value);
      return;
    }
    case 'double': {
      f64.enc(w, p.value);
      return;
    }
    case 'boolean': {
      w.i32(p.value ? 1 : 0);
      return;
    }
    case 'string': {
      str.enc(w, p.value);
      return;
    }
  }
}

/** A union carries no length of its own, so that an unknown type makes the rest of the reply unreadable: refuse it. */
function unknownType(type: number): never {
  throw new XdrError(`typed parameter of unknown type ${type}`);
}

function decodeParam(r: Reader): TypedParam {
  const field = str.dec(r);
  const type = r.i32();
  switch (type) {
    case 1:
      return { field, type: 'int', value: r.i32() };
    case 2:
      return { field, type: 'uint', value: r.u32() };
    case 3:
      return { field, type: 'llong', value: i64.dec(r) };
    case 4:
      return { field, type: 'ullong', value: u64.dec(r) };
    case 5:
      return { field, type: 'double', value: f64.dec(r) };
    case 6:
      return { field, type: 'boolean', value: r.i32() !== 0 };
    case 7:
      return { field, type: 'string', value: str.dec(r) };
    default:
      return unknownType(type);
  }
}

export const typedParam: Codec<TypedParam> = {
  sig: SIG,
  min: MIN,
  enc: (w, p) => {
    str.enc(w, p.field);
    w.i32(TYPES.indexOf(p.type) + 1);
    encodeValue(w, p);
  },
  dec: decodeParam,
};

/** The largest of libvirt's limits for such lists; the daemon applies the narrow one of each procedure. */
const PARAMS_MAX = 262144;

export const params = list(typedParam, PARAMS_MAX);

export type MetricValue = number | string | boolean;
export type Metrics = Map<string, MetricValue>;

/**
 * Names of statistics repeat from domain to domain. Every distinct name is decoded once and found again by its bytes;
 * an open hash table, emptied when it has grown beyond use (names with disk and vCPU numbers in them are many but finite).
 */
const INTERN_SLOTS = 4096;
interface Interned {
  readonly bytes: Buffer;
  readonly text: string;
}
type InternTable = (Interned | undefined)[];

function sameBytes(b: Buffer, at: number, other: Buffer): boolean {
  for (let i = 0; i < other.length; i++) if (b[at + i] !== other[i]) return false;
  return true;
}

function internedString(r: Reader, table: InternTable): string {
  const n = r.count(1024, 1);
  const at = r.padded(n);
  const b = r.buf;
  let h = n;
  for (let i = at; i < at + n; i++) h = (Math.imul(h, 31) + (b[i] ?? 0)) | 0;
  const slot = (h ^ (h >>> 15)) & (INTERN_SLOTS - 1);
  const known = table[slot];
  if (known?.bytes.length === n && sameBytes(b, at, known.bytes)) return known.text;
  const entry = { bytes: Buffer.from(b.subarray(at, at + n)), text: b.toString('utf8', at, at + n) };
  table[slot] = entry;
  return entry.text;
}

function decodeMetric(r: Reader): MetricValue {
  const type = r.i32();
  switch (type) {
    case 1:
      return r.i32();
    case 2:
      return r.u32();
    case 3:
      return signedAmount.dec(r);
    case 4:
      return amount.dec(r);
    case 5:
      return f64.dec(r);
    case 6:
      return r.i32() !== 0;
    case 7:
      return str.dec(r);
    default:
      return unknownType(type);
  }
}

/** A list of typed parameters decoded to a Map. The same bytes as `params`; encoding is for fakes. */
export function metricsCodec(): Codec<Metrics, readonly TypedParam[]> {
  const table: InternTable = new Array<Interned | undefined>(INTERN_SLOTS).fill(undefined);
  return {
    sig: `${SIG}<>`,
    min: 4,
    enc: (w, v) => params.enc(w, v),
    dec: (r) => {
      const n = r.count(PARAMS_MAX, MIN);
      const map: Metrics = new Map();
      for (let i = 0; i < n; i++) {
        const name = internedString(r, table);
        map.set(name, decodeMetric(r));
      }
      return map;
    },
  };
}

/** Builders for setters: `param.ullong('total_bytes_sec', 1n)`. */
export const param = {
  int: (field: string, value: number): TypedParam => ({ field, type: 'int', value }),
  uint: (field: string, value: number): TypedParam => ({ field, type: 'uint', value }),
  llong: (field: string, value: bigint): TypedParam => ({ field, type: 'llong', value }),
  ullong: (field: string, value: bigint): TypedParam => ({ field, type: 'ullong', value }),
  double: (field: string, value: number): TypedParam => ({ field, type: 'double', value }),
  boolean: (field: string, value: boolean): TypedParam => ({ field, type: 'boolean', value }),
  string: (field: string, value: string): TypedParam => ({ field, type: 'string', value }),
} as const;

/** Plain values by name; 64-bit integers become numbers, rounded beyond 2^53. A name that comes twice keeps its last value. */
export function toMetrics(list: readonly TypedParam[]): Metrics {
  return new Map(list.map((p) => [p.field, typeof p.value === 'bigint' ? Number(p.value) : p.value]));
}
