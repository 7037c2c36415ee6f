import type { Clock } from './clock.js';
import type { Log } from './log.js';

/**
 * Runs `body` every `intervalMs` until the signal aborts; one run at a time, an overrun run delays the next instead of
 * piling up. A body that throws is logged and tried again: a loop of a daemon never ends by an error.
 */
export async function runLoop(
  options: { name: string; intervalMs: number },
  deps: { clock: Clock; log: Log; signal: AbortSignal },
  body: (signal: AbortSignal) => Promise<void>,
): Promise<void> {
  const { clock, log, signal } = deps;
  while (!signal.aborted) {
    const started = clock.monotonic();
    try {
      await body(signal);
    } catch (error) {
      if (isAborted(signal)) return;
      log.error({ err: error, loop: options.name }, 'loop pass failed');
    }
    const rest = Math.max(0, options.intervalMs - (clock.monotonic() - started));
    try {
      await clock.sleep(rest, signal);
    } catch {
      return;
    }
  }
}

/** A function of its own, because the compiler takes `signal.aborted` for constant across an await. */
export function isAborted(signal: AbortSignal): boolean {
  return signal.aborted;
}
