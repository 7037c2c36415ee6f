import { gunzipSync } from 'node:zlib';

/** One part of cloud-init's user data. */
export interface UserDataPart {
  /** text/plain: cloud-init looks at the first line itself. */
  readonly type: 'text/plain' | 'text/cloud-config' | 'text/x-shellscript' | 'text/cloud-boothook';
  /** Also the name of the file that a script becomes; scripts run in the order of these names. */
  readonly fileName: string;
  readonly content: string;
}

/** How a person's user data goes into ours: as one more part, or (MIME already) as a nested multipart with its own headers. */
export type GivenUserData =
  { readonly kind: 'part'; readonly content: string } | { readonly kind: 'mime'; readonly content: string };

const BASE64 = /^[A-Za-z0-9+/\s]+={0,2}\s*$/;
const MIME_START = /^(?:[A-Za-z-]+:[^\n]*\n(?:[ \t][^\n]*\n)*)*?(?:content-type:\s*multipart\/|mime-version:)/i;
const KNOWN_START = /^(?:#|Content-Type:|MIME-Version:)/i;
/** Unpacked user data; far above the limit of what is given. */
const UNPACKED_LIMIT = 1024 * 1024;

/**
 * Understands what other clouds take as user data: plain text, base64 of it (M-151), gzip inside base64, MIME multipart.
 * Text that only looks like base64 stays as it is. Throws RangeError when packed data is broken or not text.
 */
export function readUserData(given: string): GivenUserData | undefined {
  if (given.trim() === '') return undefined;
  const content = decoded(given).replaceAll('\r\n', '\n');
  return { kind: MIME_START.test(content) ? 'mime' : 'part', content };
}

function decoded(given: string): string {
  if (KNOWN_START.test(given) || !BASE64.test(given)) return given;
  let bytes = Buffer.from(given.replace(/\s/g, ''), 'base64');
  const packed = bytes[0] === 0x1f && bytes[1] === 0x8b;
  if (packed) bytes = gunzip(bytes);
  let text: string;
  try {
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    if (packed) throw new RangeError('The user data is gzip, but what is in it is not UTF-8 text.');
    return given;
  }
  return packed || KNOWN_START.test(text) ? text : given;
}

function gunzip(bytes: Buffer): Buffer<ArrayBuffer> {
  try {
    return Buffer.from(gunzipSync(bytes, { maxOutputLength: UNPACKED_LIMIT }));
  } catch (error) {
    throw new RangeError(`The user data looks like gzip and does not unpack: ${String(error)}`);
  }
}

/** A boundary that occurs in none of the texts; the same texts give the same one. */
function boundaryFor(texts: readonly string[]): string {
  for (let i = 0; ; i++) {
    const boundary = `ostler-part-${String(i).padStart(6, '0')}`;
    if (texts.every((text) => !text.includes(boundary))) return boundary;
  }
}

function base64Lines(text: string): string {
  return (
    Buffer.from(text, 'utf8')
      .toString('base64')
      .match(/.{1,76}/g)
      ?.join('\n') ?? ''
  );
}

function mimePart(part: UserDataPart): string {
  return [
    `Content-Type: ${part.type}; charset="utf-8"`,
    'MIME-Version: 1.0',
    'Content-Transfer-Encoding: base64',
    `Content-Disposition: attachment; filename="${part.fileName}"`,
    '',
    base64Lines(part.content),
  ].join('\n');
}

/** A MIME multipart message of our parts and, last, a person's own multipart as it was given. */
export function multipart(parts: readonly UserDataPart[], nested: string | undefined): string {
  const pieces = parts.map(mimePart);
  if (nested !== undefined) pieces.push(nested);
  const boundary = boundaryFor(pieces);
  const body = pieces.map((piece) => `--${boundary}\n${piece}\n`).join('');
  return `Content-Type: multipart/mixed; boundary="${boundary}"\nMIME-Version: 1.0\n\n${body}--${boundary}--\n`;
}
