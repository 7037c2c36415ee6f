import { fromWireTime, type WireTimestamp } from '../../../proto/time.js';

const UNITS = [
  ['d', 86_400],
  ['h', 3_600],
  ['m', 60],
  ['s', 1],
] as const;

/** `850ms`, `4.2s`, `3m10s`, `2h5m`, `9d4h`: at most two units. */
export function formatDuration(ms: number): string {
  if (ms < 1000) return `${Math.max(0, Math.round(ms))}ms`;
  if (ms < 10_000) return `${(Math.floor(ms / 100) / 10).toString()}s`;
  let seconds = Math.floor(ms / 1000);
  const parts: string[] = [];
  for (const [unit, size] of UNITS) {
    const count = Math.floor(seconds / size);
    seconds -= count * size;
    if (count > 0) parts.push(`${count}${unit}`);
    else if (parts.length > 0) break;
    if (parts.length === 2) break;
  }
  return parts.join('');
}

/** One unit, rounded down: `3m ago`, `in 2h`, `now`. */
export function formatRelative(time: number, now: number): string {
  const seconds = Math.floor(Math.abs(now - time) / 1000);
  if (seconds === 0) return 'now';
  const [unit, size] = UNITS.find(([, length]) => seconds >= length) ?? ['s', 1];
  const text = `${Math.floor(seconds / size)}${unit}`;
  return time <= now ? `${text} ago` : `in ${text}`;
}

export function relativeTime(time: WireTimestamp | null | undefined, now: number): string {
  const ms = fromWireTime(time);
  return ms === undefined ? '-' : formatRelative(ms, now);
}

/** RFC 3339 in UTC; empty when the time is not set. */
export function absoluteTime(time: WireTimestamp | null | undefined): string {
  const ms = fromWireTime(time);
  return ms === undefined ? '' : new Date(ms).toISOString();
}

/** `2026-11-21T12:00:00.000Z (3m ago)` */
export function bothTimes(time: WireTimestamp | null | undefined, now: number): string {
  const absolute = absoluteTime(time);
  return absolute === '' ? '-' : `${absolute} (${relativeTime(time, now)})`;
}
