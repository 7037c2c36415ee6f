import { createHash, type Hash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import type { PartialFile } from '../host.js';
import { fileError, syncDirectory } from './durable.js';

/** A file that grows under another name and appears when it is whole. What an earlier attempt left is kept. */
export async function openPartialFile(path: string, partial: string): Promise<PartialFile> {
  const what = `write ${path}`;
  const file = await open(partial, 'a', 0o644).catch((error: unknown) => {
    throw fileError(error, what);
  });
  let received = (await file.stat()).size;
  // Fresh bytes are hashed as they come; those of an earlier attempt are read again at the end.
  let hash: Hash | undefined = received === 0 ? createHash('sha256') : undefined;

  return {
    path: partial,
    get received() {
      return received;
    },
    async write(chunk) {
      try {
        await file.writeFile(chunk);
      } catch (error) {
        // Part of the chunk may be there: neither the hash nor the count can be trusted to match.
        hash = undefined;
        received = (await file.stat()).size;
        throw fileError(error, what);
      }
      hash?.update(chunk);
      received += chunk.length;
    },
    async sha256() {
      if (hash !== undefined) return hash.copy().digest('hex');
      const whole = createHash('sha256');
      await pipeline(createReadStream(partial, { highWaterMark: 1024 * 1024 }), whole);
      return whole.digest('hex');
    },
    async commit() {
      try {
        await file.sync();
        await file.close();
        await rename(partial, path);
        await syncDirectory(dirname(path));
      } catch (error) {
        throw fileError(error, what);
      }
    },
    close: () => file.close(),
    async abort() {
      await file.close().catch(() => undefined);
      await rm(partial, { force: true });
    },
  };
}
