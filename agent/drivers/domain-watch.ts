import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor, HypervisorEvent } from '../hypervisor.js';

/** Events are the quick way, asking is the sure one: one may be lost while libvirt restarts. */
const POLL_MS = 1_000;

export interface DomainWatch {
  /**
   * Waits until `test` holds: asked at once, after every event of the domain (which it is given), and every second.
   * False when the time is over. Throws the signal's reason.
   */
  until(test: (event: HypervisorEvent | undefined) => Promise<boolean>, timeoutMs: number): Promise<boolean>;
  close(): void;
}

/** Listens from now on: what happens after this returns is not missed. Close it. */
export async function watchDomain(
  uuid: string,
  deps: { hypervisor: Hypervisor; clock: Clock },
  signal: AbortSignal,
): Promise<DomainWatch> {
  const scope = new AbortController();
  const both = AbortSignal.any([scope.signal, signal]);
  const queue: HypervisorEvent[] = [];
  let wake: () => void = () => undefined;
  const events = deps.hypervisor.events(both)[Symbol.asyncIterator]();
  // The first event is the connection's state; having it, we are subscribed.
  await events.next();
  const pump = async (): Promise<void> => {
    for (let next = await events.next(); next.done !== true; next = await events.next()) {
      if (!('uuid' in next.value) || next.value.uuid !== uuid) continue;
      queue.push(next.value);
      wake();
    }
  };
  pump().catch(() => undefined);

  return {
    async until(test, timeoutMs) {
      const end = deps.clock.monotonic() + timeoutMs;
      for (;;) {
        signal.throwIfAborted();
        const event = queue.shift();
        if (await holds(test, event)) return true;
        if (event !== undefined) continue;
        const rest = end - deps.clock.monotonic();
        if (rest <= 0) return false;
        await nap(Math.min(rest, POLL_MS), deps.clock, both, (wakeUp) => (wake = wakeUp));
      }
    },
    close: () => scope.abort(),
  };
}

/** libvirt being away for a moment is no answer. */
async function holds(
  test: (event: HypervisorEvent | undefined) => Promise<boolean>,
  event: HypervisorEvent | undefined,
): Promise<boolean> {
  try {
    return await test(event);
  } catch (error) {
    if (error instanceof OstlerError && (error.code === 'HYPERVISOR_UNAVAILABLE' || error.code === 'TIMEOUT'))
      return false;
    throw error;
  }
}

async function nap(ms: number, clock: Clock, signal: AbortSignal, onWake: (wake: () => void) => void): Promise<void> {
  const woken = new AbortController();
  onWake(() => woken.abort());
  await clock.sleep(ms, AbortSignal.any([woken.signal, signal])).catch(() => undefined);
}
