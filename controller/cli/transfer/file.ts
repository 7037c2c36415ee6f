import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, type FileHandle } from 'node:fs/promises';
import { invalidField } from '../../../proto/kit/errors.js';

export const CHUNK_BYTES = 512 * 1024;

export type DetectedFormat = 'qcow2' | 'iso' | 'raw';

/** qcow2's magic (its specification, "Header") and ISO 9660's `CD001` in sector 16; anything else may be raw. */
export async function detectFormat(file: FileHandle): Promise<DetectedFormat> {
  const head = Buffer.alloc(4);
  await file.read(head, 0, 4, 0);
  if (head.equals(Buffer.from([0x51, 0x46, 0x49, 0xfb]))) return 'qcow2';
  const mark = Buffer.alloc(5);
  await file.read(mark, 0, 5, 16 * 2048 + 1);
  return mark.toString('latin1') === 'CD001' ? 'iso' : 'raw';
}

export async function openImageFile(path: string): Promise<{ readonly file: FileHandle; readonly bytes: number }> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    throw invalidField('FILE', `cannot read ${path}: ${(error as Error).message}`);
  }
  const stat = await file.stat();
  if (stat.isFile() && stat.size > 0) return { file, bytes: stat.size };
  await file.close();
  throw invalidField('FILE', stat.isFile() ? `${path} is empty` : `${path} is not a file`);
}

/** SHA-256 of a file, lower-case hexadecimal. */
export async function hashFile(path: string, onBytes: (bytes: number) => void, signal: AbortSignal): Promise<string> {
  const hash = createHash('sha256');
  await hashInto(hash, path, onBytes, signal);
  return hash.digest('hex');
}

/** Feeds a file into a running hash; returns its length. */
export async function hashInto(
  hash: Hash,
  path: string,
  onBytes: (bytes: number) => void,
  signal: AbortSignal,
): Promise<number> {
  let bytes = 0;
  for await (const chunk of createReadStream(path, { highWaterMark: CHUNK_BYTES, signal }) as AsyncIterable<Buffer>) {
    hash.update(chunk);
    bytes += chunk.length;
    onBytes(bytes);
  }
  return bytes;
}
