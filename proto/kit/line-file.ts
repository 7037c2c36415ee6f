import { constants } from 'node:fs';
import { open, readFile, rename, rm, truncate, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';

/**
 * A file of lines that grows at its end: one write (O_DSYNC: it ends when the disk has it) for everything that queued up
 * while the disk was busy, which is the cheapest durable write there is. What is appended is there after a power cut, or its caller was told that it
 * is not.
 */
export interface LineFile {
  /** Bytes. */
  readonly size: number;
  /**
   * Durable when it resolves; with `lazy` it waits in memory for the next that is not, or for `close`. Rejects with the system's error when nothing of it is
   * in the file, with UncertainLines when nobody knows.
   */
  append(line: string, options?: { readonly lazy?: boolean }): Promise<void>;
  /**
   * The whole file anew, by temp + fsync + rename + fsync(directory); errors as with `append`. `lines` is asked when all
   * earlier appends are done and their callers have heard of it. Makes an uncertain file certain again.
   */
  rewrite(lines: () => readonly string[]): Promise<void>;
  /** After what is under way. */
  close(): Promise<void>;
}

/**
 * The disk failed in a way that leaves open what it has. Every append is refused from then on, until the file is written
 * anew or read again by another start.
 */
export class UncertainLines extends Error {}

type Job =
  | { readonly kind: 'append'; readonly line: string; readonly done: Done }
  | { readonly kind: 'rewrite'; readonly lines: () => readonly string[]; readonly done: Done };
type Done = (error?: Error) => void;

const { O_APPEND, O_CREAT, O_DSYNC, O_EXCL, O_WRONLY } = constants;
const DURABLE = O_WRONLY | O_APPEND | O_CREAT | O_DSYNC;

/** Opens or makes the file (mode 0600). A last line without its end is what a crash left of an append, and is cut off. */
export async function openLineFile(path: string): Promise<{ readonly file: LineFile; readonly lines: string[] }> {
  const text = await readWhole(path);
  let handle = await open(path, DURABLE, 0o600);
  if (text === undefined) await syncDirectory(dirname(path));
  const lines = text === undefined || text === '' ? [] : text.slice(0, -1).split('\n');
  let size = Buffer.byteLength(text ?? '');
  let queue: Job[] = [];
  const waiting: string[] = [];
  let working: Promise<void> | undefined;
  let broken: Error | undefined;
  let closed = false;

  /** Brings the file back to what it was, or gives up on it. */
  const cutBack = async (cause: unknown): Promise<Error> => {
    try {
      await handle.truncate(size);
      await handle.datasync();
      return cause as Error;
    } catch {
      return (broken = new UncertainLines(`${path}: ${(cause as Error).message}`, { cause }));
    }
  };

  const appendAll = async (jobs: readonly Extract<Job, { kind: 'append' }>[]): Promise<void> => {
    const along = waiting.splice(0);
    const bytes = Buffer.from([...along, ...jobs.map((job) => job.line)].map((line) => `${line}\n`).join(''));
    try {
      await handle.appendFile(bytes);
    } catch (error) {
      waiting.unshift(...along);
      throw await cutBack(error);
    }
    size += bytes.length;
  };

  const rewriteNow = async (content: readonly string[]): Promise<void> => {
    const bytes = Buffer.from(content.map((line) => `${line}\n`).join(''));
    const fresh = await writeBeside(path, bytes);
    try {
      await rename(`${path}.tmp`, path);
    } catch (error) {
      await fresh.close();
      throw error;
    }
    await handle.close();
    handle = fresh;
    size = bytes.length;
    try {
      await syncDirectory(dirname(path));
      broken = undefined;
    } catch (cause) {
      throw (broken = new UncertainLines(`${path}: ${(cause as Error).message}`, { cause }));
    }
  };

  const drain = async (): Promise<void> => {
    for (;;) {
      const [first] = queue;
      if (first === undefined) break;
      const end = queue.findIndex((job) => job.kind === 'rewrite');
      const jobs = first.kind === 'rewrite' ? [first] : queue.slice(0, end < 0 ? queue.length : end);
      queue = queue.slice(jobs.length);
      let failure: Error | undefined;
      try {
        if (first.kind === 'rewrite') {
          await callersHeard();
          const along = waiting.splice(0);
          await rewriteNow(first.lines()).catch((error: unknown) => {
            waiting.unshift(...along);
            throw error;
          });
        } else if (broken !== undefined) throw broken;
        else await appendAll(jobs.filter((job) => job.kind === 'append'));
      } catch (error) {
        failure = error as Error;
      }
      for (const { done } of jobs) done(failure);
    }
    working = undefined;
  };

  const enqueue = (make: (done: Done) => Job): Promise<void> =>
    new Promise((resolve, reject) => {
      if (closed) throw new Error(`${path} is closed`);
      queue.push(make((error) => (error === undefined ? resolve() : reject(error))));
      working ??= drain();
    });

  const file: LineFile = {
    get size() {
      return size;
    },
    append: (line, { lazy = false } = {}) => {
      if (!lazy) return enqueue((done) => ({ kind: 'append', line, done }));
      waiting.push(line);
      return Promise.resolve();
    },
    rewrite: (content) => enqueue((done) => ({ kind: 'rewrite', lines: content, done })),
    async close() {
      while (working !== undefined) await working;
      closed = true;
      // What is lost with them is said again: that is what lazy means.
      if (waiting.length > 0 && broken === undefined) await appendAll([]).catch(() => undefined);
      await handle.close();
    },
  };
  return { file, lines };
}

/** The continuations of all promises that are settled by now have run. */
function callersHeard(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}

/** Undefined: there is no such file. */
async function readWhole(path: string): Promise<string | undefined> {
  let bytes: Buffer;
  try {
    bytes = await readFile(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
  const end = bytes.lastIndexOf('\n') + 1;
  if (end < bytes.length) await truncate(path, end);
  return bytes.subarray(0, end).toString('utf8');
}

async function writeBeside(path: string, bytes: Buffer): Promise<FileHandle> {
  const temporary = `${path}.tmp`;
  await rm(temporary, { force: true });
  const handle = await open(temporary, DURABLE | O_EXCL, 0o600);
  try {
    await handle.appendFile(bytes);
    await handle.sync();
    return handle;
  } catch (error) {
    await handle.close();
    await rm(temporary, { force: true }).catch(() => undefined);
    throw error;
  }
}

async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, 'r');
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
