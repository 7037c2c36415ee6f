import { createHash, randomBytes } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';

/**
 * crypt(3) with SHA-512 (`$6$`), as in "Unix crypt using SHA-256 and SHA-512", Ulrich Drepper, version 0.6
 * (https://www.akkadia.org/drepper/SHA-crypt.txt): what every glibc and cloud-init take.
 */
const ALPHABET = './0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
const ROUNDS = 5000;
/** The event loop gets a turn between slices of this many rounds, about a millisecond each. */
const SLICE = 250;
const SIZE = 64;

const sha512 = (...parts: readonly Uint8Array[]): Buffer => {
  const hash = createHash('sha512');
  for (const part of parts) hash.update(part);
  return hash.digest();
};

/** Repeats a digest up to a length. */
function stretch(digest: Buffer, length: number): Buffer {
  const out = Buffer.alloc(length);
  for (let at = 0; at < length; at += SIZE) digest.copy(out, at, 0, Math.min(SIZE, length - at));
  return out;
}

function repeated(bytes: Buffer, times: number): Buffer {
  return sha512(...Array.from({ length: times }, () => bytes));
}

/** The first digest: password and salt, then one or the other for each bit of the password's length. */
function firstDigest(password: Buffer, salt: Buffer): Buffer {
  const b = sha512(password, salt, password);
  const parts: Buffer[] = [password, salt, stretch(b, password.length)];
  for (let bits = password.length; bits > 0; bits >>= 1) parts.push((bits & 1) === 1 ? b : password);
  return sha512(...parts);
}

/** Order in which the digest's bytes go into the text: three at a time, rotating by 21. */
function encode(digest: Buffer): string {
  let text = '';
  const put = (value: number, characters: number): void => {
    for (let i = 0; i < characters; i++, value >>>= 6) text += ALPHABET.charAt(value & 63);
  };
  let [a, b, c] = [0, 21, 42];
  for (let group = 0; group < 21; group++) {
    put(((digest[a] ?? 0) << 16) | ((digest[b] ?? 0) << 8) | (digest[c] ?? 0), 4);
    [a, b, c] = [b + 1, c + 1, a + 1];
  }
  put(digest[63] ?? 0, 2);
  return text;
}

/** Sixteen characters, 96 random bits. */
export function newSalt(): string {
  return Array.from(randomBytes(16), (byte) => ALPHABET.charAt(byte & 63)).join('');
}

/**
 * Hashes a password in about 20 ms without stalling the event loop. Throws RangeError for a salt that crypt(3) would cut or
 * refuse: it takes 1 to 16 characters of `./0-9A-Za-z`.
 */
export async function sha512Crypt(password: string, salt: string = newSalt()): Promise<string> {
  if (!/^[./0-9A-Za-z]{1,16}$/.test(salt)) throw new RangeError('A salt has 1 to 16 characters of ./0-9A-Za-z.');
  const key = Buffer.from(password, 'utf8');
  const saltBytes = Buffer.from(salt, 'latin1');
  let digest = firstDigest(key, saltBytes);
  const p = stretch(repeated(key, key.length), key.length);
  const s = stretch(repeated(saltBytes, 16 + (digest[0] ?? 0)), saltBytes.length);
  for (let round = 0; round < ROUNDS; round++) {
    const odd = (round & 1) === 1;
    const parts: Buffer[] = [odd ? p : digest];
    if (round % 3 !== 0) parts.push(s);
    if (round % 7 !== 0) parts.push(p);
    parts.push(odd ? digest : p);
    digest = sha512(...parts);
    if (round % SLICE === SLICE - 1) await nextTurn();
  }
  return `$6$${salt}$${encode(digest)}`;
}
