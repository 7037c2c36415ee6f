import { createHash } from 'node:crypto';
import { mkdir, open, readdir, readFile, rm, truncate } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../proto/kit/clock.js';
import type { FaultPoint } from '../proto/kit/fault.js';
import type { Log } from '../proto/kit/log.js';
import { openEpochs, type Epochs } from './journal-epochs.js';
import { applyLine, formatLine, parseEntry, type JournalEntry, type JournalLine } from './journal-entry.js';
import { fileError, syncDirectory } from './linux/durable.js';

/**
 * The durable record of commands: what was begun is known after a crash, and what was done is answered, not done again.
 * One file per command. `begin` costs one fsync of the file and one of the directory, side by side; every later line one
 * fdatasync (0.3–0.6 ms each on a local disk).
 */
export interface Journal {
  get(id: string): JournalEntry | undefined;
  /** Durable when it returns. */
  begin(entry: Pick<JournalEntry, 'id' | 'vmId' | 'epoch' | 'kind' | 'command'>): Promise<void>;
  /** Durable when it returns: write down what you are about to make, so that a later run knows it was you. */
  note(id: string, text: string): Promise<void>;
  /** Durable when it returns; only then may the result leave this host. */
  done(id: string, result: Uint8Array): Promise<void>;
  /** The controller has the result. Not flushed: when it is lost, the result is sent once more. */
  acked(id: string): Promise<void>;
  /** As if it had never been begun. */
  forget(id: string): Promise<void>;
  /** Begun and not done, oldest first. */
  unfinished(): readonly JournalEntry[];
  /** Done and not acknowledged, oldest first. */
  unacked(): readonly JournalEntry[];
  /** The newest epoch seen for each VM, for ever. */
  readonly epochs: Epochs;
  /** Removes acknowledged entries that are too old or too many; returns how many. */
  prune(): Promise<number>;
}

export interface JournalOptions {
  readonly directory: string;
  readonly bootId: string;
  readonly retentionMs: number;
  readonly maxEntries: number;
}

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
}

const SUFFIX = '.jsonl';

/** Reads what lies there. A file that tells of nothing begun is removed. */
export async function openJournal(options: JournalOptions, deps: Deps): Promise<Journal> {
  const { directory } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const entries = await readEntries(directory, deps.log);
  const epochs = await openEpochs(join(directory, 'epochs.json'));
  const { clock, fault } = deps;

  const append = async (id: string, line: JournalLine, durable: boolean): Promise<void> => {
    const next = applyLine(entries.get(id), line);
    if (next === undefined) return;
    await appendLine(pathOf(directory, id), formatLine(line), durable);
    entries.set(id, next);
  };

  return {
    epochs,
    get: (id) => entries.get(id),
    async begin({ id, vmId, epoch, kind, command }) {
      const { bootId } = options;
      const text = Buffer.from(command).toString('base64');
      const line: JournalLine = { line: 'begun', id, vmId, epoch, kind, bootId, time: clock.now(), command: text };
      const entry = applyLine(undefined, line);
      if (entry === undefined) return;
      fault('journal.begin');
      await createDurably(directory, pathOf(directory, id), formatLine(line));
      entries.set(id, entry);
      fault('journal.begun');
    },
    note: (id, text) => append(id, { line: 'note', text }, true),
    async done(id, result) {
      fault('journal.finish');
      const text = Buffer.from(result).toString('base64');
      await append(id, { line: 'done', time: clock.now(), result: text }, true);
      fault('journal.finished');
    },
    acked: (id) =>
      entries.get(id)?.result === undefined || entries.get(id)?.ackedTime !== undefined
        ? Promise.resolve()
        : append(id, { line: 'acked', time: clock.now() }, false),
    async forget(id) {
      await rm(pathOf(directory, id), { force: true });
      await syncDirectory(directory);
      entries.delete(id);
    },
    unfinished: () => oldestFirst(entries).filter((entry) => entry.result === undefined),
    unacked: () => oldestFirst(entries).filter((entry) => entry.result !== undefined && entry.ackedTime === undefined),
    async prune() {
      const acked = oldestFirst(entries).filter((entry) => entry.ackedTime !== undefined);
      const limit = clock.now() - options.retentionMs;
      const surplus = entries.size - options.maxEntries;
      const old = acked.filter((entry, index) => index < surplus || (entry.ackedTime ?? 0) < limit);
      for (const { id } of old) {
        await rm(pathOf(directory, id), { force: true });
        entries.delete(id);
      }
      return old.length;
    },
  };
}

/** Ids come from outside: the name is a digest, so that no id can be a path. */
function pathOf(directory: string, id: string): string {
  return join(directory, `${createHash('sha256').update(id).digest('hex').slice(0, 32)}${SUFFIX}`);
}

function oldestFirst(entries: ReadonlyMap<string, JournalEntry>): JournalEntry[] {
  return [...entries.values()].sort((a, b) => a.begunTime - b.begunTime || (a.id < b.id ? -1 : 1));
}

async function readEntries(directory: string, log: Log): Promise<Map<string, JournalEntry>> {
  const entries = new Map<string, JournalEntry>();
  for (const name of await readdir(directory)) {
    if (!name.endsWith(SUFFIX)) continue;
    const path = join(directory, name);
    const text = await readFile(path, 'utf8');
    const entry = parseEntry(text);
    if (entry === undefined) {
      log.info({ file: name }, 'journal: a command that was never begun is dropped');
      await rm(path, { force: true });
      continue;
    }
    entries.set(entry.id, entry);
    await dropTornLine(path, text);
  }
  return entries;
}

/** What a crash left of a line would spoil the next one appended. */
async function dropTornLine(path: string, text: string): Promise<void> {
  if (text.endsWith('\n')) return;
  await truncate(path, Buffer.byteLength(text.slice(0, text.lastIndexOf('\n') + 1)));
}

async function createDurably(directory: string, path: string, text: string): Promise<void> {
  try {
    const file = await open(path, 'w', 0o600);
    try {
      await file.writeFile(text);
      await Promise.all([file.sync(), syncDirectory(directory)]);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, 'write the command journal');
  }
}

async function appendLine(path: string, text: string, durable: boolean): Promise<void> {
  try {
    const file = await open(path, 'a');
    try {
      const { size } = await file.stat();
      try {
        await file.writeFile(text);
        if (durable) await file.datasync();
      } catch (error) {
        // Half a line (a full disk) would hide every later one, and a command that is done would be run again.
        await file.truncate(size).catch(() => undefined);
        throw error;
      }
    } finally {
      await file.close();
    }
  } catch (error) {
    throw fileError(error, 'write the command journal');
  }
}
