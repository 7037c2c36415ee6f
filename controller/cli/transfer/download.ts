import { createHash } from 'node:crypto';
import { open, rename, rm, stat } from 'node:fs/promises';
import type { ostler } from '../../../proto/gen/ostler.js';
import { OstlerError } from '../../../proto/kit/errors.js';
import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { writeAll } from '../io.js';
import { hashInto } from './file.js';
import { createByteProgress } from './progress.js';

type Image = ostler.v1.Image.$Properties;

/** Fetches into `PATH.part`, goes on where an earlier attempt ended, checks the SHA-256, then takes the final name. */
export async function downloadFile(context: Context, image: Image, path: string, overwrite: boolean): Promise<void> {
  const { interrupted } = context.io;
  if (!overwrite && (await sizeOf(path)) !== undefined)
    throw usageError(`${path} exists.`, 'Name another file, or add --overwrite.', 'FILE');
  const part = `${path}.part`;
  const total = image.fileBytes ?? 0;
  const present = (await sizeOf(part)) ?? 0;
  if (present > total) await rm(part);
  const hash = createHash('sha256');
  const offset = present > 0 && present <= total ? await hashInto(hash, part, () => undefined, interrupted) : 0;
  const progress = createByteProgress(context, `download ${image.name ?? ''}`, total, offset);
  const file = await open(part, 'a', 0o644);
  try {
    let received = offset;
    for await (const bytes of chunksOf(context, image, offset)) {
      hash.update(bytes);
      await file.write(bytes);
      received += bytes.length;
      progress.at(received);
    }
    await file.sync();
  } finally {
    await file.close();
    progress.end();
  }
  if (hash.digest('hex') !== image.sha256) {
    await rm(part);
    throw badChecksum(image);
  }
  await rename(part, path);
}

/** Streams to stdout; the checksum is known only when everybody has the bytes, so that a mismatch is an exit code. */
export async function downloadToStdout(context: Context, image: Image): Promise<void> {
  const hash = createHash('sha256');
  for await (const bytes of chunksOf(context, image, 0)) {
    hash.update(bytes);
    await writeAll(context.io.stdout, bytes);
  }
  if (hash.digest('hex') !== image.sha256) throw badChecksum(image);
}

async function* chunksOf(context: Context, image: Image, offset: number): AsyncGenerator<Uint8Array> {
  const stream = context
    .clients()
    .images.downloadImage({ image: image.id ?? '', offset }, { signal: context.io.interrupted });
  for await (const { chunk } of stream) if (chunk.length > 0) yield chunk;
}

function badChecksum(image: Image): OstlerError {
  return new OstlerError('BAD_IMAGE', `What came of ${image.name ?? ''} does not have its SHA-256.`, {
    remedy: 'Download it again; if it stays, the copy on the controller is damaged.',
  });
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch {
    return undefined;
  }
}
