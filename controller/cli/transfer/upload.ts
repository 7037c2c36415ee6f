import { createReadStream } from 'node:fs';
import type { ostler } from '../../../proto/gen/ostler.js';
import { isConnectionLoss } from '../client.js';
import type { Context } from '../context.js';
import { createByteProgress } from './progress.js';
import { CHUNK_BYTES } from './file.js';

type Image = ostler.v1.Image.$Properties;

const RETRIES = 8;
const RETRY_MS = 1000;

/**
 * Sends what the controller does not have yet of a file, and goes on from there when the connection breaks. The
 * controller checks length, checksum and format at the end. Aborts at Ctrl-C.
 */
export async function uploadFile(context: Context, path: string, image: Image): Promise<Image> {
  const { clock, interrupted } = context.io;
  const { images } = context.clients();
  const total = image.fileBytes ?? 0;
  let offset = image.receivedBytes ?? 0;
  const progress = createByteProgress(context, `upload ${image.name ?? ''}`, total, offset);
  try {
    for (let failures = 0; ;) {
      try {
        return await images.uploadImage(messages(image.id ?? '', path, offset, progress.at), { signal: interrupted });
      } catch (error) {
        failures += 1;
        if (!isConnectionLoss(error) || failures > RETRIES || interrupted.aborted) throw error;
        await clock.sleep(RETRY_MS, interrupted);
        const { receivedBytes } = await receivedSoFar(context, image, offset);
        if (receivedBytes > offset) failures = 0;
        offset = receivedBytes;
      }
    }
  } finally {
    progress.end();
  }
}

/** The controller may still be away: then the next attempt asks again. */
async function receivedSoFar(
  context: Context,
  image: Image,
  fallback: number,
): Promise<{ readonly receivedBytes: number }> {
  try {
    return await context.clients().images.getImage({ image: image.id ?? '' }, { signal: context.io.interrupted });
  } catch (error) {
    if (isConnectionLoss(error)) return { receivedBytes: fallback };
    throw error;
  }
}

async function* messages(
  image: string,
  path: string,
  offset: number,
  onBytes: (bytes: number) => void,
): AsyncGenerator<ostler.v1.UploadImageRequest.$Properties> {
  yield { image, offset };
  let sent = offset;
  const file = createReadStream(path, { start: offset, highWaterMark: CHUNK_BYTES });
  for await (const chunk of file as AsyncIterable<Buffer>) {
    yield { chunk };
    sent += chunk.length;
    onBytes(sent);
  }
}
