import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Clock } from '../proto/kit/clock.js';
import { OstlerError } from '../proto/kit/errors.js';
import type { FaultPoint } from '../proto/kit/fault.js';
import { openLineFile, UncertainLines } from '../proto/kit/line-file.js';
import { openEpochs, type Epochs } from './journal-epochs.js';
import { applyLine, linesOf, parseLine, type JournalEntry, type JournalLine } from './journal-entry.js';
import { fileError } from './linux/durable.js';

/**
 * The durable record of commands: what was begun is known after a crash, and what was done is answered, not done again.
 * One file for all of them, so that a line costs one flush (0.3–0.6 ms on a local disk) and many VMs that start at once
 * share theirs.
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
  close(): Promise<void>;
}

export interface JournalOptions {
  readonly directory: string;
  readonly bootId: string;
  readonly retentionMs: number;
  readonly maxEntries: number;
}

interface Deps {
  readonly clock: Clock;
  readonly fault: FaultPoint;
}

const FILE = 'commands.jsonl';
/** Lines in the file that say nothing any more before it is written anew. */
const COMPACT_AFTER = 2_000;

/** Reads what lies there. STORAGE_ERROR when a line of it is damaged: what it said is not known. */
export async function openJournal(options: JournalOptions, deps: Deps): Promise<Journal> {
  const { directory } = options;
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const path = join(directory, FILE);
  const { file, lines } = await openLineFile(path);
  const entries = readEntries(lines, path);
  const epochs = await openEpochs(join(directory, 'epochs.json'));
  const { clock, fault } = deps;
  let count = lines.length;

  const rewrite = (): Promise<void> =>
    file.rewrite(() => {
      const kept = oldestFirst(entries).flatMap(linesOf);
      count = kept.length;
      return kept.map((line) => JSON.stringify(line));
    });
  let uncertain = false;
  const append = async (line: JournalLine, lazy = false): Promise<void> => {
    try {
      // What the disk has of the line before is not known: that one was refused, so it must not come back at a start.
      if (uncertain) await rewrite();
      uncertain = false;
      await file.append(JSON.stringify(line), { lazy });
    } catch (error) {
      if (error instanceof UncertainLines) uncertain = true;
      throw fileError(error, 'write the command journal');
    }
    count += 1;
    const next = applyLine(entries.get(line.id), line);
    if (next === undefined) entries.delete(line.id);
    else entries.set(line.id, next);
  };
  const deadLines = (): number => count - [...entries.values()].flatMap(linesOf).length;

  return {
    epochs,
    get: (id) => entries.get(id),
    async begin({ id, vmId, epoch, kind, command }) {
      const { bootId } = options;
      const text = Buffer.from(command).toString('base64');
      fault('journal.begin');
      await append({ line: 'begun', id, vmId, epoch, kind, bootId, time: clock.now(), command: text });
      fault('journal.begun');
    },
    note: (id, text) => append({ line: 'note', id, text }),
    async done(id, result) {
      fault('journal.finish');
      await append({ line: 'done', id, time: clock.now(), result: Buffer.from(result).toString('base64') });
      fault('journal.finished');
    },
    async acked(id) {
      const entry = entries.get(id);
      if (entry?.result === undefined || entry.ackedTime !== undefined) return;
      await append({ line: 'acked', id, time: clock.now() }, true);
    },
    forget: (id) => append({ line: 'forgotten', id }),
    unfinished: () => oldestFirst(entries).filter((entry) => entry.result === undefined),
    unacked: () => oldestFirst(entries).filter((entry) => entry.result !== undefined && entry.ackedTime === undefined),
    async prune() {
      const acked = oldestFirst(entries).filter((entry) => entry.ackedTime !== undefined);
      const limit = clock.now() - options.retentionMs;
      const surplus = entries.size - options.maxEntries;
      const old = acked.filter((entry, index) => index < surplus || (entry.ackedTime ?? 0) < limit);
      for (const { id } of old) entries.delete(id);
      if (deadLines() >= COMPACT_AFTER) await rewrite();
      return old.length;
    },
    close: () => file.close(),
  };
}

function oldestFirst(entries: ReadonlyMap<string, JournalEntry>): JournalEntry[] {
  return [...entries.values()].sort((a, b) => a.begunTime - b.begunTime || (a.id < b.id ? -1 : 1));
}

function readEntries(lines: readonly string[], path: string): Map<string, JournalEntry> {
  const entries = new Map<string, JournalEntry>();
  for (const [index, raw] of lines.entries()) {
    const line = parseLine(raw);
    // Going on without it could do a command a second time that was answered long ago.
    if (line === undefined)
      throw new OstlerError('STORAGE_ERROR', `${path} is damaged: its line ${index + 1} does not parse.`, {
        remedy: 'Restore the file from a backup; or move it away when no operation of this host is unfinished.',
      });
    const next = applyLine(entries.get(line.id), line);
    if (next === undefined) entries.delete(line.id);
    else entries.set(line.id, next);
  }
  return entries;
}
