import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { Host, PartialFile } from '../host.js';
import { partialFile } from '../layout.js';
import { assertSafeImage } from './image-safety.js';
import { createSharedJobs, type SharedJobs } from './shared-jobs.js';

/** Bytes of an image from `offset` on, from the controller. */
export type FetchImage = (image: string, offset: number, signal: AbortSignal) => AsyncIterable<Uint8Array>;

export interface Images {
  /**
   * Sees to it that the image lies at `path`; fetches it when it does not. Nothing of a failed download stays, and a file
   * under the image's name is always whole and checked.
   */
  ensure(path: string, image: ImageRef, progress: (percent: number) => void, signal: AbortSignal): Promise<void>;
  /** Removes the image's file and what a download left of it. Absent is success. */
  forget(path: string): Promise<void>;
}

interface Deps {
  readonly host: Host;
  readonly fetch: FetchImage;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
}

/** A cut link is no reason to fail a download of gigabytes: it goes on where it was. */
const ATTEMPTS = 6;
const RETRY_MS = 1_000;

export function createImages(options: { machineId: string }, deps: Deps): Images {
  const { host } = deps;
  const jobs: SharedJobs<void> = createSharedJobs();
  return {
    async ensure(path, image, progress, signal) {
      if (await isThere(path, image, host)) return;
      const partial = partialFile(path, options.machineId);
      await jobs.join(path, progress, signal, (report, all) => download(path, partial, image, report, all, deps));
    },
    async forget(path) {
      await host.files.remove(partialFile(path, options.machineId));
      deps.fault('forget-image.removing');
      await host.files.remove(path);
      deps.fault('forget-image.removed');
    },
  };
}

async function isThere(path: string, image: ImageRef, host: Host): Promise<boolean> {
  const size = await host.files.size(path);
  if (size === undefined) return false;
  if (size === image.fileBytes) return true;
  // Overlays may stand on it: replacing it would destroy them.
  throw new OstlerError('BAD_IMAGE', `${path} has ${size} bytes, image ${image.id} has ${image.fileBytes}.`, {
    remedy: 'Find out who wrote this file; remove it by hand if no disk is based on it.',
    metadata: { path },
  });
}

async function download(
  path: string,
  partialPath: string,
  image: ImageRef,
  progress: (percent: number) => void,
  signal: AbortSignal,
  deps: Deps,
): Promise<void> {
  const { host, fault, log } = deps;
  const partial = await host.files.openPartial(path, partialPath);
  fault('image.partial-opened');
  try {
    await refuseWithoutRoom(path, image.fileBytes - partial.received, host);
    await receiveAll(partial, image, progress, signal, deps);
    fault('image.received');
    await checkContent(partial, image, host);
    await partial.commit();
    fault('image.committed');
    log.info({ image: image.id, path, bytes: image.fileBytes }, 'image fetched');
  } catch (error) {
    // Ended by the agent's end, not by a person or a fault: the next process goes on with these bytes.
    const resumable = signal.aborted && !(signal.reason instanceof OstlerError);
    await (resumable ? partial.close() : partial.abort());
    throw error;
  }
}

async function refuseWithoutRoom(path: string, bytes: number, host: Host): Promise<void> {
  const directory = path.slice(0, path.lastIndexOf('/'));
  const { availableBytes } = await host.files.statFs(directory);
  if (availableBytes >= bytes) return;
  throw new OstlerError('STORAGE_FULL', `The image needs ${bytes} bytes; ${directory} has ${availableBytes} left.`, {
    remedy: 'Free space on this pool, or use another one.',
    metadata: { needed: String(bytes), available: String(availableBytes) },
  });
}

async function receiveAll(
  partial: PartialFile,
  image: ImageRef,
  progress: (percent: number) => void,
  signal: AbortSignal,
  deps: Deps,
): Promise<void> {
  for (let attempt = 1; ; attempt++) {
    const before = partial.received;
    try {
      for await (const chunk of deps.fetch(image.id, partial.received, signal)) {
        signal.throwIfAborted();
        if (partial.received + chunk.length > image.fileBytes)
          throw badImage(image, `is longer than the ${image.fileBytes} bytes announced`);
        await partial.write(Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length));
        progress(Math.floor((partial.received * 100) / image.fileBytes));
      }
      if (partial.received === image.fileBytes) return;
      throw new OstlerError('HOST_UNREACHABLE', `The image ended after ${partial.received} bytes.`);
    } catch (error) {
      signal.throwIfAborted();
      if (partial.received > before) attempt = 1;
      if (!toOstlerError(error).retryable || attempt >= ATTEMPTS) throw error;
      deps.log.warn(
        { err: error, image: image.id, received: partial.received },
        'image download interrupted, resuming',
      );
      await deps.clock.sleep(RETRY_MS, signal);
    }
  }
}

async function checkContent(partial: PartialFile, image: ImageRef, host: Host): Promise<void> {
  const sha256 = await partial.sha256();
  if (sha256 !== image.sha256) throw badImage(image, `has SHA-256 ${sha256}, announced was ${image.sha256}`);
  assertSafeImage(image, await host.qemuImg.info(partial.path));
}

function badImage(image: ImageRef, why: string): OstlerError {
  return new OstlerError('BAD_IMAGE', `Image ${image.id} ${why}.`, {
    remedy: 'Upload the image anew.',
    metadata: { image: image.id },
  });
}
