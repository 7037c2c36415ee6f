import { readFile } from 'node:fs/promises';
import { z } from 'zod';
import { OstlerError } from '../proto/kit/errors.js';
import { writeFileAtomic } from './linux/durable.js';

/**
 * The newest epoch seen for each VM. It outlives the journal's entries: a command of an older assignment must be refused
 * however long ago the newer one was.
 */
export interface Epochs {
  /** 0 for a VM never heard of. */
  newest(vmId: string): number;
  /** Durable when it returns; costs nothing when it is no news. */
  raise(vmId: string, epoch: number): Promise<void>;
}

const schema = z.record(z.string(), z.int().nonnegative());

export async function openEpochs(path: string): Promise<Epochs> {
  const known = new Map(Object.entries(await read(path)));
  let last: Promise<void> = Promise.resolve();
  return {
    newest: (vmId) => known.get(vmId) ?? 0,
    raise(vmId, epoch) {
      if (epoch <= (known.get(vmId) ?? 0)) return last;
      known.set(vmId, epoch);
      const write = (): Promise<void> => writeFileAtomic(path, JSON.stringify(Object.fromEntries(known)), 0o600);
      const written = last.then(write, write);
      last = written.catch(() => undefined);
      return written;
    },
  };
}

async function read(path: string): Promise<Record<string, number>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw error;
  }
  try {
    return schema.parse(JSON.parse(text));
  } catch (error) {
    // Going on without it could let a stale command start a VM a second time.
    throw new OstlerError('STORAGE_ERROR', `${path} is damaged: ${(error as Error).message}`, {
      remedy: 'Restore the file from a backup, or remove it when no VM of this host may run elsewhere.',
      cause: error,
    });
  }
}
