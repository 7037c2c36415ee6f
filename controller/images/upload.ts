import type { FileHandle } from 'node:fs/promises';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { ImageDoc } from '../core/model.js';

export interface UploadMessage {
  readonly image: string;
  readonly offset: number;
  readonly chunk: Uint8Array;
}

/** An upload that may write: nobody else does until `release`. */
export interface OpenUpload {
  readonly image: ImageDoc;
  readonly file: FileHandle;
  /** Bytes that were there before. */
  readonly received: number;
  readonly release: () => void;
}

export interface UploadTarget {
  begin(imageId: string, offset: number): Promise<OpenUpload>;
  /** All bytes are there. */
  finish(image: ImageDoc): Promise<void>;
  readonly fault: FaultPoint;
}

const CHUNK_MAX = 1024 * 1024;
/** Dirty pages are written out in steps, so that the end of a large upload does not stall for minutes. */
const SYNC_BYTES = 64 * 1024 * 1024;

/** Takes the messages of one UploadImage call. Whatever comes in order stays, also when the call breaks off. */
export async function receiveUpload(
  messages: AsyncIterable<UploadMessage>,
  signal: AbortSignal,
  target: UploadTarget,
): Promise<string> {
  let upload: OpenUpload | undefined;
  let received = 0;
  let unsynced = 0;
  try {
    for await (const message of messages) {
      if (upload === undefined) {
        if (message.image === '') throw invalidField('image', 'is missing in the first message');
        upload = await target.begin(message.image, message.offset);
        received = upload.received;
      } else if (message.image !== '' && message.image !== upload.image.id) {
        throw invalidField('image', 'changes in the middle of the stream');
      }
      const { chunk } = message;
      if (chunk.length > CHUNK_MAX) throw invalidField('chunk', 'is longer than 1 MiB');
      if (received + chunk.length > upload.image.fileBytes)
        throw invalidField('chunk', `goes beyond the announced ${upload.image.fileBytes} bytes`);
      if (chunk.length === 0) continue;
      await writeAll(upload.file, chunk);
      target.fault('image.chunk-written');
      received += chunk.length;
      unsynced += chunk.length;
      if (unsynced < SYNC_BYTES) continue;
      await upload.file.datasync();
      unsynced = 0;
    }
    if (upload === undefined) throw invalidField('image', 'is missing: the stream was empty');
    await upload.file.sync();
    signal.throwIfAborted();
    if (received === upload.image.fileBytes) await target.finish(upload.image);
    return upload.image.id;
  } finally {
    if (upload !== undefined) {
      // What came is durable before it is reported as received.
      await upload.file.sync().catch(() => undefined);
      await upload.file.close();
      upload.release();
    }
  }
}

async function writeAll(file: FileHandle, chunk: Uint8Array): Promise<void> {
  try {
    await file.writeFile(chunk);
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (code === 'ENOSPC' || code === 'EDQUOT')
      throw new OstlerError('STORAGE_FULL', 'There is no room left for images.', {
        remedy: 'Delete images, or give the data directory more room; then resume the upload.',
        cause: error,
      });
    throw new OstlerError('STORAGE_ERROR', `Writing the image failed: ${message}`, { cause: error });
  }
}
