/** Decoding that lets others run: a reply of a thousand domains takes some 10 ms of work, which no timer should wait for. */
import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import type { Codec } from './xdr.js';
import { Reader } from './xdr.js';

/** Replies from this size on are decoded in steps. */
export const STEPS_FROM_BYTES = 128 * 1024;
/** Time of one go, in ms. What else happens in a turn of the loop (a reply's bytes read, garbage collected) is as long again. */
const SLICE_MS = 2;

/** Decodes the whole payload in slices of some milliseconds. */
export async function decodeInSteps<O>(codec: Codec<O, never>, payload: Buffer): Promise<O> {
  const r = new Reader(payload);
  if (codec.steps === undefined) {
    const value = codec.dec(r);
    r.finish();
    return value;
  }
  const steps = codec.steps(r);
  // The turn that has read all these bytes has done enough.
  await setImmediate();
  let until = performance.now() + SLICE_MS;
  for (;;) {
    const step = steps.next();
    if (step.done === true) {
      r.finish();
      return step.value;
    }
    if (performance.now() >= until) {
      await setImmediate();
      until = performance.now() + SLICE_MS;
    }
  }
}
