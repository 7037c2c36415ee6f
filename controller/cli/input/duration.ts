import { invalidField } from '../../../proto/kit/errors.js';

const MS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** `90s`, `5m`, `1h30m`, `250ms`, `0` → milliseconds. INVALID_FIELD names the flag. */
export function parseDuration(text: string, flag: string): number {
  if (text === '0') return 0;
  if (!/^(?:[0-9]{1,9}(?:ms|s|m|h|d))+$/.test(text)) {
    const hint = /^[0-9]+$/.test(text) ? `${text}s` : '90s, 5m or 1h30m';
    throw invalidField(flag, `"${text}" is not a length of time`, `Write a number with its unit: ${hint}.`);
  }
  let total = 0;
  for (const [, count, unit] of text.matchAll(/([0-9]+)(ms|s|m|h|d)/g)) total += Number(count) * (MS[unit ?? ''] ?? 0);
  return total;
}

/** The same in whole seconds; a part of a second is refused. */
export function parseSeconds(text: string, flag: string): number {
  const ms = parseDuration(text, flag);
  if (ms % 1000 !== 0) throw invalidField(flag, `"${text}" is not a whole number of seconds`);
  return ms / 1000;
}
