import { invalidField } from '../../../proto/kit/errors.js';

const UNITS: Readonly<Record<string, bigint>> = {
  B: 1n,
  KiB: 1024n,
  MiB: 1024n ** 2n,
  GiB: 1024n ** 3n,
  TiB: 1024n ** 4n,
  PiB: 1024n ** 5n,
  kB: 1000n,
  KB: 1000n,
  MB: 1000n ** 2n,
  GB: 1000n ** 3n,
  TB: 1000n ** 4n,
  PB: 1000n ** 5n,
};

/**
 * `2GiB`, `1.5 TiB`, `500MB` → bytes. Strict: a unit must be there, in its own spelling, and the result a whole number of
 * bytes. `2G` is refused because half of the tools mean 2·10⁹ by it and the other half 2·2³⁰. INVALID_FIELD names the flag.
 */
export function parseSize(text: string, flag: string): number {
  const match = /^([0-9]{1,16})(?:\.([0-9]{1,9}))? ?([A-Za-z]*)$/.exec(text);
  const [, whole = '', fraction = '', unit = ''] = match ?? [];
  const factor = UNITS[unit];
  if (match === null) throw invalidField(flag, `"${text}" is not a size`, 'Write a number with its unit: 2GiB.');
  if (factor === undefined) throw invalidField(flag, unknownUnit(text, unit), suggestion(text, unit));
  const scale = 10n ** BigInt(fraction.length);
  const scaled = BigInt(whole + fraction) * factor;
  if (scaled % scale !== 0n) throw invalidField(flag, `"${text}" is not a whole number of bytes`);
  const bytes = scaled / scale;
  if (bytes > BigInt(Number.MAX_SAFE_INTEGER)) throw invalidField(flag, `"${text}" is more than anybody has`);
  return Number(bytes);
}

function unknownUnit(text: string, unit: string): string {
  return unit === '' ? `"${text}" has no unit` : `"${unit}" is not a unit`;
}

function suggestion(text: string, unit: string): string {
  const number = text.slice(0, text.length - unit.length).trim();
  const letter = /^[KMGTP]/i.exec(unit)?.[0].toUpperCase() ?? 'G';
  return `Write ${number}${letter}iB (powers of 1024) or ${number}${letter === 'K' ? 'k' : letter}B (powers of 1000).`;
}
