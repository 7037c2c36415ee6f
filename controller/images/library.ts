import { createReadStream } from 'node:fs';
import { mkdir, open, readdir, readFile, rename, rm, stat, statfs } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import { imageDefaultsSchema, imageFormatSchema, sha256Schema } from '../../proto/model/image.js';
import { ID_PATTERN, idSchema } from '../../proto/model/names.js';
import { checkImage, HEADER_BYTES } from '../core/image-format.js';
import type { ImageDoc } from '../core/model.js';
import { syncFolder, writeDurably } from '../files.js';
import type { Store } from '../store/store.js';
import { updateDocument } from '../store/update.js';
import { digestFile } from './digest.js';
import { imagePaths, type ImagePaths } from './files.js';
import { receiveUpload, type UploadMessage } from './upload.js';

/** The images' bytes: `ID.part` while they come, `ID.img` once they are checked, `ID.json` the record for a rebuild. */
export interface ImageLibrary {
  /** Bytes that an upload can go on after. */
  receivedBytes(image: ImageDoc): Promise<number>;
  /** STORAGE_FULL when so many bytes have no room. */
  checkRoom(bytes: number): Promise<void>;
  /**
   * Takes in what comes; resolves when the stream ends. When all bytes are there they are checked and the image becomes
   * ready. INVALID_FIELD (`offset`, `chunk`), WRONG_STATE, OPERATION_RUNNING (another upload of it), BAD_IMAGE, STORAGE_FULL.
   */
  upload(messages: AsyncIterable<UploadMessage>, signal: AbortSignal): Promise<string>;
  /** Bytes of an image that is ready, from `offset`. NOT_FOUND, WRONG_STATE, INVALID_FIELD (`offset`). */
  read(imageId: string, offset: number): AsyncIterable<Buffer>;
  /** Brings back the records of images whose files are here and whose records the store lacks. Returns their ids. */
  restore(): Promise<readonly string[]>;
  /** At start: finishes or removes what a crash left. Afterwards the files of deleted images go by themselves. */
  recover(): Promise<void>;
  close(): Promise<void>;
}

export interface LibraryDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault?: FaultPoint;
}

const READ_BYTES = 256 * 1024;
/** Room that is left to the rest of the machine. */
const RESERVE_BYTES = 64 * 1024 * 1024;

const recordSchema: z.ZodType<ImageDoc> = z.strictObject({
  id: idSchema,
  name: z.string(),
  displayName: z.string(),
  description: z.string(),
  format: imageFormatSchema,
  osType: z.enum(['linux', 'windows', 'other']),
  state: z.literal('ready'),
  stateReason: z.string(),
  fileBytes: z.int().positive(),
  virtualSizeBytes: z.int().positive(),
  sha256: sha256Schema,
  requestId: z.string(),
  createTime: z.number(),
  defaults: imageDefaultsSchema.exactOptional(),
});

export async function openLibrary(folder: string, deps: LibraryDeps): Promise<ImageLibrary> {
  const { store, log } = deps;
  const fault = deps.fault ?? noFaults;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const busy = new Set<string>();
  let removals: Promise<void> = Promise.resolve();

  const docOf = (imageId: string): ImageDoc => {
    const doc = store.get('image', imageId)?.value;
    if (doc === undefined) throw new OstlerError('NOT_FOUND', `There is no image ${imageId}.`, { field: 'image' });
    return doc;
  };

  /** The record's file goes first: a data file without it is never brought back. */
  async function removeFiles(imageId: string): Promise<void> {
    const { record, data, part } = imagePaths(folder, imageId);
    for (const path of [record, data, part]) await rm(path, { force: true });
    await syncFolder(folder);
  }

  const stop = store.subscribe((changed) => {
    for (const { kind, id } of changed) {
      if (kind !== 'image' || store.get('image', id) !== undefined) continue;
      removals = removals
        .then(() => removeFiles(id))
        .catch((error: unknown) => log.error({ err: error, image: id }, 'files of a deleted image are left'));
    }
  });

  async function finish(image: ImageDoc, paths: ImagePaths): Promise<void> {
    const { header, sha256, size } = await digestFile(paths.part, HEADER_BYTES);
    const verdict = checkImage(image.format, header, size);
    const reason =
      sha256 !== image.sha256
        ? `its SHA-256 is ${sha256}, announced was ${image.sha256}`
        : verdict.ok
          ? undefined
          : `it is no ${image.format} image: ${verdict.reason}`;
    if (reason !== undefined || !verdict.ok) {
      const why = reason ?? '';
      await updateDocument(store, 'image', image.id, (doc) => ({ ...doc, state: 'error', stateReason: why }));
      await rm(paths.part, { force: true });
      throw new OstlerError('BAD_IMAGE', `The image ${image.name} was refused: ${why}.`, {
        remedy: 'Delete the image and import a good file.',
      });
    }
    const ready: ImageDoc = { ...image, state: 'ready', stateReason: '', virtualSizeBytes: verdict.virtualSizeBytes };
    fault('image.checked');
    await writeDurably(paths.record, JSON.stringify(ready, undefined, 2) + '\n', 0o600);
    fault('image.recorded');
    await rename(paths.part, paths.data);
    await syncFolder(folder);
    fault('image.renamed');
    await updateDocument(store, 'image', image.id, () => ready);
    fault('image.ready');
    log.info({ image: image.id, name: image.name, bytes: size }, 'image is ready');
  }

  return {
    receivedBytes: async (image) => {
      if (image.state === 'ready') return image.fileBytes;
      return sizeOf(imagePaths(folder, image.id).part);
    },

    checkRoom: async (bytes) => {
      const { bavail, bsize } = await statfs(folder);
      if (bytes + RESERVE_BYTES <= bavail * bsize) return;
      throw new OstlerError('STORAGE_FULL', `file_bytes: ${bytes} bytes have no room; ${bavail * bsize} are free.`, {
        field: 'file_bytes',
        remedy: 'Delete images, or give the data directory more room.',
      });
    },

    upload: (messages, signal) =>
      receiveUpload(messages, signal, {
        begin: (imageId, offset) => beginUpload(imageId, offset),
        finish: (image) => finish(image, imagePaths(folder, image.id)),
        fault,
      }),

    read: async function* (imageId, offset) {
      const image = docOf(imageId);
      if (image.state !== 'ready')
        throw new OstlerError(
          'WRONG_STATE',
          `The image ${image.name} is not ready (${image.stateReason || image.state}).`,
        );
      if (offset > image.fileBytes)
        throw new OstlerError('INVALID_FIELD', `offset: is beyond the image's ${image.fileBytes} bytes`, {
          field: 'offset',
        });
      const { data } = imagePaths(folder, imageId);
      yield* createReadStream(data, { start: offset, highWaterMark: READ_BYTES }) as AsyncIterable<Buffer>;
    },

    restore: async () => {
      const restored: string[] = [];
      for (const name of await readdir(folder)) {
        const id = name.replace(/\.json$/, '');
        if (!name.endsWith('.json') || !ID_PATTERN.test(id) || store.get('image', id) !== undefined) continue;
        const { record, data } = imagePaths(folder, id);
        const text = await readFile(record, 'utf8').catch((error: unknown) => {
          // Its deletion came first.
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
          throw error;
        });
        if (text === undefined) continue;
        const parsed = recordSchema.safeParse(JSON.parse(text));
        if (!parsed.success || (await sizeOf(data)) !== parsed.data.fileBytes) {
          log.warn({ image: id }, 'an image without record cannot be restored: its files do not fit');
          continue;
        }
        const doc = withFreeName(parsed.data, store);
        await store.commit([{ kind: 'image', id, expect: 0, put: doc }]);
        restored.push(id);
      }
      return restored;
    },

    recover: async () => {
      for (const name of await readdir(folder)) await recoverFile(name);
      await syncFolder(folder);
    },

    close: async () => {
      stop();
      await removals;
    },
  };

  async function beginUpload(imageId: string, offset: number) {
    const image = docOf(imageId);
    if (image.state !== 'uploading')
      throw new OstlerError('WRONG_STATE', `The image ${image.name} takes no upload: it is ${image.state}.`, {
        remedy: 'Delete it and create it again.',
      });
    if (busy.has(imageId))
      throw new OstlerError('OPERATION_RUNNING', `The image ${image.name} is being uploaded by another call.`, {
        remedy: 'Wait for it, or stop it and resume here.',
      });
    // From here to the first await nobody else can come between.
    busy.add(imageId);
    try {
      const paths = imagePaths(folder, imageId);
      const received = await sizeOf(paths.part);
      if (offset !== received)
        throw new OstlerError('INVALID_FIELD', `offset: is ${offset}, but ${received} bytes are here`, {
          field: 'offset',
          remedy: 'Go on at received_bytes of GetImage.',
          metadata: { received_bytes: String(received) },
        });
      const file = await open(paths.part, 'a', 0o600);
      return { image, file, received, release: () => void busy.delete(imageId) };
    } catch (error) {
      busy.delete(imageId);
      throw error;
    }
  }

  async function recoverFile(name: string): Promise<void> {
    const match = /^([^.]*)\.(part|img|json|json\..*\.new)$/.exec(name);
    const id = match?.[1] ?? '';
    if (match === null || !ID_PATTERN.test(id)) return;
    const path = join(folder, name);
    const doc = store.get('image', id)?.value;
    if (doc === undefined) {
      // A deletion that was cut short is finished. Without its operation in the store the record was lost, not deleted.
      if (wasDeleted(id, store) || name.endsWith('.part') || name.endsWith('.new')) await rm(path, { force: true });
      else log.warn({ image: id, file: name }, 'an image file without record: `ostler controller rebuild` restores it');
      return;
    }
    // Renamed, but not yet called ready: the check is done again when the upload ends.
    const { part, data, record } = imagePaths(folder, id);
    if (name.endsWith('.img') && doc.state === 'uploading') {
      await rename(data, part);
      await rm(record, { force: true });
    }
    if (name.endsWith('.new')) await rm(path, { force: true });
  }
}

async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return 0;
    throw error;
  }
}

function wasDeleted(imageId: string, store: Store): boolean {
  for (const { value } of store.list('operation'))
    if (value.kind === 'image.delete' && value.target === imageId) return true;
  return false;
}

/** Somebody may have imported another image under the name meanwhile. */
function withFreeName(image: ImageDoc, store: Store): ImageDoc {
  const taken = [...store.list('image')].some(({ value }) => value.name.toLowerCase() === image.name.toLowerCase());
  return taken ? { ...image, name: image.id } : image;
}
