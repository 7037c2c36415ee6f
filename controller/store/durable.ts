import { open, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { FaultPoint } from '../../proto/kit/fault.js';

/** Suffix of a file that is being written; what a crash leaves of it is removed at the next start. */
export const TEMPORARY = '.tmp';

/** Makes names in a directory (created, renamed, removed files) durable. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}

/** Writes a file beside its place and flushes it to disk. Returns the temporary's path, for `rename`. */
export async function writeTemporary(directory: string, name: string, text: string): Promise<string> {
  const path = join(directory, `${name}${TEMPORARY}`);
  const file = await open(path, 'w', 0o600);
  try {
    await file.writeFile(text, 'utf8');
    // The data must be on disk before the name points to it: a rename may reach the disk first.
    await file.sync();
  } catch (error) {
    await file.close();
    await rm(path, { force: true });
    throw error;
  }
  await file.close();
  return path;
}

/** The new name is there, but nobody knows whether the disk has it: only a new start can tell. */
export class UncertainWrite extends Error {}

/**
 * temp + fsync + rename + fsync(dir): afterwards the file has the new content even after a power cut, never half of it.
 * Throws UncertainWrite after the rename; any other error means that the old content stays.
 */
export async function replaceFile(directory: string, name: string, text: string, fault: FaultPoint): Promise<void> {
  const temporary = await writeTemporary(directory, name, text);
  fault('store.temporary-written');
  await rename(temporary, join(directory, name));
  fault('store.renamed');
  try {
    await syncDirectory(directory);
  } catch (error) {
    throw new UncertainWrite((error as Error).message, { cause: error });
  }
}
