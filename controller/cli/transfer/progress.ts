import type { Context } from '../context.js';
import { isTerminal } from '../io.js';
import { fitTo } from '../output/text.js';
import { formatBytes, formatRate } from '../output/units.js';

export interface ByteProgress {
  /** Bytes done of all, not since the last call. */
  readonly at: (bytes: number) => void;
  readonly end: () => void;
}

const DRAW_MS = 200;
const STEP_PERCENT = 10;
/** Milliseconds between two lines. */
const LINE_MS = 1000;

/** On a terminal one line that is rewritten; elsewhere one line for every ten percent, at most one a second, and the last. */
export function createByteProgress(context: Context, what: string, total: number, start = 0): ByteProgress {
  const { stderr, clock } = context.io;
  if (context.globals.quiet) return { at: () => undefined, end: () => undefined };
  const began = clock.monotonic();
  const percentOf = (bytes: number): number => (total === 0 ? 100 : Math.floor((bytes / total) * 100));
  const line = (bytes: number): string => {
    const seconds = (clock.monotonic() - began) / 1000;
    const rate = seconds > 0.5 ? `, ${formatRate((bytes - start) / seconds)}` : '';
    return `${what}: ${percentOf(bytes)}%, ${formatBytes(bytes)} of ${formatBytes(total)}${rate}`;
  };
  if (!isTerminal(stderr)) {
    let shown = { step: -1, time: began };
    return {
      at: (bytes) => {
        const step = Math.floor(percentOf(bytes) / STEP_PERCENT);
        const time = clock.monotonic();
        if (step <= shown.step || (time - shown.time < LINE_MS && bytes !== total)) return;
        stderr.write(`${line(bytes)}\n`);
        shown = { step, time };
      },
      end: () => undefined,
    };
  }
  let drawn = -Infinity;
  return {
    at: (bytes) => {
      if (clock.monotonic() - drawn < DRAW_MS && bytes !== total) return;
      drawn = clock.monotonic();
      stderr.write(`\r\u001b[K${fitTo(line(bytes), (stderr.columns ?? 80) - 1)}`);
    },
    end: () => void stderr.write('\r\u001b[K'),
  };
}
