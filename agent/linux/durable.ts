import { open, rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OstlerError } from '../../proto/kit/errors.js';

/** Makes the names in a directory survive a power cut: a rename or a new file counts only after this. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Makes a file's bytes survive a power cut. */
export async function syncFile(path: string): Promise<void> {
  const handle = await open(path, 'r+');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** Temp file, fsync, rename, fsync of the directory: afterwards the old or the new content is there, never a mixture. */
export async function writeFileAtomic(path: string, data: Buffer | string, mode: number): Promise<void> {
  // One name per target: what a crash leaves is overwritten by the next attempt instead of piling up.
  const temporary = `${path}.tmp`;
  try {
    const handle = await open(temporary, 'w', mode);
    try {
      // The mode of open() is cut by the umask and ignored for a file that was left by a crash.
      await handle.chmod(mode);
      await handle.writeFile(data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    throw fileError(error, `write ${path}`);
  }
}

/** A failed system call on a file, as an error for people. STORAGE_FULL when there is no room, else STORAGE_ERROR. */
export function fileError(thrown: unknown, what: string): OstlerError {
  if (thrown instanceof OstlerError) return thrown;
  const { code, message } = thrown as NodeJS.ErrnoException;
  const metadata = code === undefined ? {} : { errno: code };
  if (code === 'ENOSPC' || code === 'EDQUOT')
    return new OstlerError('STORAGE_FULL', `No room to ${what}.`, {
      remedy: 'Free space on this file system, or use another pool.',
      metadata,
      cause: thrown,
    });
  return new OstlerError('STORAGE_ERROR', `Could not ${what}: ${message}`, { metadata, cause: thrown });
}
