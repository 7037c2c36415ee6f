import { randomBytes } from 'node:crypto';

/** Base 32 without i, l, o and u (proto/model/names.ts, ID_PATTERN). */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export type IdPrefix = 'i' | 'img' | 'op' | 'h' | 'snap';

export type NewId = (prefix: IdPrefix) => string;

/** A new id of 50 random bits. */
export const newId: NewId = (prefix) => `${prefix}-${toBase32(randomBytes(10))}`;

/** One character a byte, of its low five bits. */
export function toBase32(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join('');
}
