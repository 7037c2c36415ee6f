import { invalidField } from '../../../proto/kit/errors.js';

/**
 * `a=1,b=2` → map, for flags of several parts. With `first`, a leading part without `=` is taken for that key
 * (`setup.sh,order=10`). INVALID_FIELD names the flag for unknown, empty and repeated keys.
 */
export function parseKeyValues<K extends string>(
  text: string,
  flag: string,
  keys: readonly K[],
  first?: K,
): Partial<Record<K, string>> {
  const found: Partial<Record<K, string>> = {};
  for (const [index, part] of text.split(',').entries()) {
    const at = part.indexOf('=');
    const key = at < 0 ? (index === 0 ? first : undefined) : keys.find((known) => known === part.slice(0, at));
    if (key === undefined) throw unknownKey(part, flag, keys);
    if (found[key] !== undefined) throw invalidField(flag, `${key} is given twice`);
    found[key] = part.slice(at + 1);
  }
  return found;
}

function unknownKey(part: string, flag: string, keys: readonly string[]): Error {
  const known = `Known keys: ${keys.join(', ')}.`;
  return part.includes('=')
    ? invalidField(flag, `"${part.slice(0, part.indexOf('='))}" is not a key of it`, known)
    : invalidField(flag, `"${part}" is not KEY=VALUE`, known);
}

/** One `k=v` of --label; the value may be empty and may hold `=`. */
export function parseLabel(text: string, flag: string): readonly [string, string] {
  const at = text.indexOf('=');
  if (at < 1) throw invalidField(flag, `"${text}" is not KEY=VALUE`, 'Write --label tier=front.');
  return [text.slice(0, at), text.slice(at + 1)];
}

/** Whole, not negative. */
export function parseCount(text: string, flag: string): number {
  if (!/^[0-9]{1,9}$/.test(text)) throw invalidField(flag, `"${text}" is not a whole number`);
  return Number(text);
}

/** For commander: a repeatable option gathers its values. */
export function gather(value: string, previous: readonly string[] | undefined): readonly string[] {
  return [...(previous ?? []), value];
}

/** One of a closed set of words. */
export function parseChoice<W extends string>(text: string, flag: string, words: readonly W[]): W {
  const word = words.find((known) => known === text);
  if (word === undefined) throw invalidField(flag, `"${text}" is not one of ${words.join(', ')}`);
  return word;
}
