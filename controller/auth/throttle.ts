import type { Clock } from '../../proto/kit/clock.js';

/**
 * Slows down whoever guesses. Secrets have 256 bits, so that guessing is hopeless anyway; this keeps the log readable and the
 * CPU free. Somebody with a right token is never held up by a neighbour's wrong ones behind the same address.
 */
export interface Throttle {
  /** Counts a failure of the peer. Over the limit it resolves after a while, so that the refusal comes late. */
  failed(peer: string, signal: AbortSignal): Promise<{ readonly limited: boolean }>;
}

export interface ThrottleOptions {
  /** Failures per window that are answered at once. */
  readonly burst: number;
  readonly windowMs: number;
  readonly delayMs: number;
  /** Answers held back at the same time; further ones are refused at once. */
  readonly heldMax: number;
}

export const DEFAULT_THROTTLE: ThrottleOptions = { burst: 10, windowMs: 60_000, delayMs: 1_000, heldMax: 256 };
const PEERS_MAX = 10_000;

export function createThrottle(options: ThrottleOptions, deps: { readonly clock: Clock }): Throttle {
  const { clock } = deps;
  const windows = new Map<string, { started: number; failures: number }>();
  let held = 0;
  return {
    failed: async (peer, signal) => {
      const address = addressOf(peer);
      const now = clock.monotonic();
      let window = windows.get(address);
      if (window === undefined || now - window.started > options.windowMs) {
        windows.delete(address);
        window = { started: now, failures: 0 };
        windows.set(address, window);
        // Insertion order is age: the oldest window goes.
        const oldest = windows.keys().next().value;
        if (windows.size > PEERS_MAX && oldest !== undefined) windows.delete(oldest);
      }
      window.failures += 1;
      const limited = window.failures > options.burst;
      if (limited && held < options.heldMax) {
        held += 1;
        await clock.sleep(options.delayMs, signal).catch(() => undefined);
        held -= 1;
      }
      return { limited };
    },
  };
}

/** `ipv4:10.0.0.1:5000`, `10.0.0.1:5000`, `[::1]:5000` → the address without the port. */
export function addressOf(peer: string): string {
  return peer.replace(/^ipv[46]:/, '').replace(/:[0-9]+$/, '');
}
