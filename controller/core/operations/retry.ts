import type { ErrorInfo } from '../error-info.js';

/** Failures that pass by themselves: the daemon or the disk under the agent is away for a moment. */
const PASSING = new Set(['HYPERVISOR_UNAVAILABLE', 'HOST_UNREACHABLE', 'STORE_ERROR']);

const FIRST_DELAY_MS = 1000;
const LONGEST_DELAY_MS = 60_000;
const ATTEMPTS = 5;
const UNDO_ATTEMPTS = 3;

/**
 * Milliseconds until the next attempt, or undefined when there is none. Passing failures: five attempts; an undo is repeated
 * for as long as the failure is a passing one, and three times for any other, because giving up leaves something behind.
 */
export function retryDelay(error: ErrorInfo, attempt: number, undoes: boolean): number | undefined {
  const passing = PASSING.has(error.code);
  const attempts = passing ? (undoes ? Infinity : ATTEMPTS) : undoes ? UNDO_ATTEMPTS : 1;
  if (attempt >= attempts) return undefined;
  return Math.min(LONGEST_DELAY_MS, FIRST_DELAY_MS * 2 ** Math.min(attempt - 1, 16));
}
