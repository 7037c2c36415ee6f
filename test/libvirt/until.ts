import { setTimeout as sleep } from 'node:timers/promises';

/** Waits for a condition; on a machine with other work that takes longer, but never for ever. */
export async function until(what: string, condition: () => boolean, timeoutMs = 15_000): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(5);
  }
}
