import t from 'tap';
import fc from 'fast-check';
import type { Frame } from '../../agent/libvirt/frame.js';
import { FRAME_MAX, FrameError, createSplitter, writeFrame } from '../../agent/libvirt/frame.js';
import { Writer, str } from '../../agent/libvirt/xdr.js';

const header = { program: 0x20008086, procedure: 212, type: 1, serial: 9, status: 0 };

function frames(payloads: readonly Uint8Array[]): Buffer {
  const w = new Writer(16);
  payloads.forEach((p, i) => writeFrame(w, { ...header, serial: i }, (x) => x.append(p)));
  return Buffer.from(w.bytes());
}

void t.test('a byte stream cut anywhere gives the same frames', (t) => {
  const payloads = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 30 });
  fc.assert(
    fc.property(payloads, fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1 }), (list, cuts) => {
      const wire = frames(list);
      const seen: Frame[] = [];
      const push = createSplitter((f) => seen.push({ ...f, payload: Buffer.from(f.payload) }));
      for (let at = 0, i = 0; at < wire.length; i++) {
        const n = cuts[i % cuts.length]!;
        push(Buffer.from(wire.subarray(at, at + n)));
        at += n;
      }
      return seen.length === list.length && seen.every((f, i) => f.serial === i && f.payload.equals(list[i]!));
    }),
    { numRuns: 300 },
  );
  t.pass('300 streams');
  t.end();
});

void t.test('a length or version that cannot be ends the stream before memory is taken', (t) => {
  for (const length of [0, 4, 27, FRAME_MAX + 1, 0x7fffffff, 0xffffffff]) {
    const b = frames([Buffer.alloc(8)]);
    b.writeUInt32BE(length, 0);
    t.throws(() => createSplitter(() => undefined)(b), FrameError, `length ${length}`);
  }
  const b = frames([Buffer.alloc(8)]);
  b.writeUInt32BE(2, 8);
  t.throws(() => createSplitter(() => undefined)(b), /version 2/);
  t.end();
});

void t.test('a body that cannot be encoded leaves nothing behind', (t) => {
  const w = new Writer(64);
  writeFrame(w, header, (x) => str.enc(x, 'first'));
  const before = w.pos;
  t.throws(() => writeFrame(w, header, (x) => str.enc(x, 'a\0b')));
  t.equal(w.pos, before);
  writeFrame(w, header, (x) => str.enc(x, 'x'.repeat(500)));
  const seen: Frame[] = [];
  createSplitter((f) => seen.push(f))(Buffer.from(w.bytes()));
  t.equal(seen.length, 2, 'also across a growth of the buffer');
  t.end();
});
