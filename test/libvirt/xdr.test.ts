import { isDeepStrictEqual } from 'node:util';
import t from 'tap';
import fc from 'fast-check';
import { domain, uuid } from '../../agent/libvirt/objects.js';
import { procedures } from '../../agent/libvirt/procedures.js';
import { fixedText, wanted, wideText } from '../../agent/libvirt/records.js';
import type { TypedParam } from '../../agent/libvirt/typed-params.js';
import { metricsCodec, params, toMetrics } from '../../agent/libvirt/typed-params.js';
import type { Codec } from '../../agent/libvirt/xdr.js';
import {
  Reader,
  XdrError,
  amount,
  bytes,
  decode,
  encode,
  f64,
  fixed,
  flag,
  flags,
  i32,
  i64,
  list,
  opt,
  optStr,
  signedAmount,
  str,
  struct,
  tuple,
  u32,
  u64,
} from '../../agent/libvirt/xdr.js';

/** Text as C knows it. */
const text = fc.string({ unit: 'grapheme' }).filter((s) => !s.includes('\0'));
const plain = { noNullPrototype: true } as const;
const typedParam: fc.Arbitrary<TypedParam> = fc.oneof(
  fc.record({ field: text, type: fc.constant('int' as const), value: fc.integer() }, plain),
  fc.record({ field: text, type: fc.constant('uint' as const), value: fc.nat() }, plain),
  fc.record(
    { field: text, type: fc.constant('llong' as const), value: fc.bigInt(-(1n << 63n), (1n << 63n) - 1n) },
    plain,
  ),
  fc.record({ field: text, type: fc.constant('ullong' as const), value: fc.bigInt(0n, (1n << 64n) - 1n) }, plain),
  fc.record({ field: text, type: fc.constant('double' as const), value: fc.double() }, plain),
  fc.record({ field: text, type: fc.constant('boolean' as const), value: fc.boolean() }, plain),
  fc.record({ field: text, type: fc.constant('string' as const), value: text }, plain),
);

void t.test('what is encoded is decoded, for every codec', (t) => {
  const roundTrip = <T>(name: string, codec: Codec<T, never>, values: fc.Arbitrary<T>): void => {
    fc.assert(
      fc.property(values, (value) => {
        const wire = encode(codec as Codec<unknown, unknown>, value);
        return wire.length % 4 === 0 && wire.length >= codec.min && isDeepStrictEqual(decode(codec, wire), value);
      }),
    );
    t.pass(name);
  };
  roundTrip('i32', i32, fc.integer());
  roundTrip('u32', u32, fc.nat(0xffffffff));
  roundTrip('u64', u64, fc.bigInt(0n, (1n << 64n) - 1n));
  roundTrip('i64', i64, fc.bigInt(-(1n << 63n), (1n << 63n) - 1n));
  roundTrip('amount', amount, fc.maxSafeNat());
  roundTrip('signedAmount', signedAmount, fc.maxSafeInteger());
  roundTrip('f64', f64, fc.double());
  roundTrip('str', str, text);
  roundTrip('optStr', optStr, fc.option(text));
  roundTrip('uuid', uuid, fc.uuid());
  roundTrip(
    'bytes',
    bytes(64) as Codec<Buffer, never>,
    fc.uint8Array({ maxLength: 64 }).map((b) => Buffer.from(b)),
  );
  roundTrip(
    'fixed',
    fixed(7) as Codec<Buffer, never>,
    fc.uint8Array({ minLength: 7, maxLength: 7 }).map((b) => Buffer.from(b)),
  );
  roundTrip('list', list(str) as Codec<string[], never>, fc.array(text));
  roundTrip('tuple', tuple(i32, 3) as Codec<number[], never>, fc.array(fc.integer(), { minLength: 3, maxLength: 3 }));
  roundTrip('domain', domain, fc.record({ name: text, uuid: fc.uuid(), id: fc.integer() }, { noNullPrototype: true }));
  roundTrip('params', params as Codec<TypedParam[], never>, fc.array(typedParam));
  roundTrip('wideText', wideText, fc.constantFrom('', 'selinux', 'system_u:object_r'));
  roundTrip('fixedText', fixedText(32), fc.constantFrom('', 'x86_64', 'a'.repeat(31)));
  t.end();
});

void t.test('a value that does not fit is refused before anything is sent, naming the field', (t) => {
  const refuses = (codec: Codec<unknown, never>, value: unknown): void => {
    t.throws(() => encode(codec as Codec<unknown, unknown>, value), XdrError);
  };
  for (const v of [1.5, 2 ** 31, NaN, -(2 ** 31) - 1]) refuses(i32, v);
  for (const v of [-1, 2 ** 32, 0.1]) refuses(u32, v);
  for (const v of [-1, 2 ** 53, 0.5, Infinity]) refuses(amount, v);
  for (const v of [-1n, 1n << 64n]) refuses(u64, v);
  for (const v of [1n << 63n, -(1n << 63n) - 1n]) refuses(i64, v);
  refuses(str, 'a\0b');
  refuses(str, 'x'.repeat(4 * 1024 * 1024 + 1));
  refuses(uuid, 'not-a-uuid');
  refuses(bytes(2), Buffer.alloc(3));
  refuses(list(i32, 2), [1, 2, 3]);
  t.throws(
    () => encode(struct({ dom: domain }), { dom: { name: 'a', uuid: 'x', id: 1 } }),
    /^dom: uuid: "x" is not a UUID/,
  );
  t.end();
});

void t.test('flags, pointers and needResults may be left out', (t) => {
  const c = struct({ flags, name: optStr, needResults: wanted, on: flag });
  t.strictSame(decode(c, encode(c, { on: true })), { flags: 0, name: null, needResults: true, on: true });
  t.strictSame(decode(c, encode(c, { on: false, needResults: false, flags: 2 ** 31, name: '' })), {
    flags: 2 ** 31,
    name: '',
    needResults: false,
    on: false,
  });
  t.end();
});

void t.test('a hostile length is refused before memory is taken for it', (t) => {
  const word = (n: number): Buffer => {
    const b = Buffer.alloc(4);
    b.writeUInt32BE(n);
    return b;
  };
  const lying = [0xffffffff, 0x7fffffff, 16385, 5].map((n) => Buffer.concat([word(n), word(0)]));
  const before = process.memoryUsage.rss();
  for (const wire of lying) {
    for (const codec of [str, bytes(1 << 30), list(i32), list(str, 1 << 30), params, metricsCodec()]) {
      t.throws(() => decode(codec as Codec<unknown, never>, wire), XdrError);
    }
  }
  t.ok(process.memoryUsage.rss() - before < 50e6, 'no memory was taken');
  t.throws(() => decode(opt(i32), Buffer.concat([word(2), word(0)])), /presence mark/);
  t.throws(() => decode(i32, Buffer.alloc(8)), /4 bytes follow/, 'bytes left over');
  t.throws(() => decode(u64, Buffer.alloc(4)), /ends 4 bytes too early/);
  t.end();
});

void t.test('random bytes never do worse than an XdrError, whatever the procedure', (t) => {
  const all = Object.values(procedures).map((p) => p.ret as Codec<unknown, never>);
  fc.assert(
    fc.property(fc.constantFrom(...all), fc.uint8Array({ maxLength: 200 }), (codec, wire) => {
      try {
        decode(codec, Buffer.from(wire));
      } catch (e) {
        if (!(e instanceof XdrError)) throw e;
      }
    }),
    { numRuns: 5000 },
  );
  t.pass('5000 random replies');
  t.end();
});

void t.test('metrics are the same values as typed parameters, with 64-bit counters as numbers', (t) => {
  const metrics = metricsCodec();
  fc.assert(
    fc.property(fc.array(typedParam), (list) => {
      const wire = encode(params, list);
      return isDeepStrictEqual(decode(metrics, wire), toMetrics(list));
    }),
    { numRuns: 200 },
  );
  const big = encode(params, [{ field: 'cpu.time', type: 'ullong', value: (1n << 53n) + 1n }]);
  t.equal(decode(metrics, big).get('cpu.time'), 2 ** 53, 'rounded, not wrong');
  t.equal(decode(params, big)[0]?.value, (1n << 53n) + 1n, 'exact');
  t.throws(
    () => decode(metrics, Buffer.from('00000001' + '00000001' + '61000000' + '00000009' + '00000000', 'hex')),
    /unknown type 9/,
  );
  t.end();
});

void t.test('decoding in steps gives what decoding at once gives', (t) => {
  const c = struct({ items: list(struct({ name: str, n: i32 })), end: u32 });
  const value = { items: Array.from({ length: 1000 }, (_, n) => ({ name: `item ${n}`, n })), end: 7 };
  const wire = encode(c, value);
  const steps = c.steps!(new Reader(wire));
  let yields = 0;
  for (;;) {
    const s = steps.next();
    if (s.done === true) {
      t.strictSame(s.value, value);
      break;
    }
    yields++;
  }
  t.ok(yields >= 10, `${yields} chances for others`);
  t.end();
});

void t.test('no two procedures have the same number', (t) => {
  const numbers = Object.values(procedures).map((p) => `${p.program}/${p.number}`);
  t.equal(new Set(numbers).size, numbers.length);
  t.end();
});
