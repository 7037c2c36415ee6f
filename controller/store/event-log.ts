import { mkdir, open, readdir, readFile, rm, truncate, type FileHandle } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { EventLog, EventRecord, NewEvent } from '../engine/env.js';
import { syncDirectory } from './durable.js';
import { createEventIndex } from './event-index.js';

export interface EventLogOptions {
  /** `events/` is made below it. */
  readonly dataDir: string;
  /** Events kept at least; default 20 000. The log holds up to one segment more. */
  readonly keep?: number;
  /** Events a file; default 2 000. */
  readonly segmentEvents?: number;
}

export interface DurableEventLog extends EventLog {
  close(): Promise<void>;
}

const SEGMENT_NAME = /^(\d{16})\.jsonl$/;

const eventSchema = z.strictObject({
  id: z.string(),
  sequence: z.int().positive(),
  time: z.number(),
  kind: z.string(),
  target: z.string(),
  targetName: z.string(),
  host: z.string(),
  actor: z.string(),
  message: z.string(),
  operation: z.string(),
  metadata: z.record(z.string(), z.string()),
});

/**
 * Opens the log: JSON lines in segments named by their first sequence number. A last line without its end is what a crash
 * left of an append that was never acknowledged, and is cut off; anything else that does not parse is refused with its place.
 */
export async function openEventLog(
  options: EventLogOptions,
  deps: { readonly clock: Clock; readonly fault?: FaultPoint },
): Promise<DurableEventLog> {
  const { keep = 20_000, segmentEvents = 2_000 } = options;
  const fault = deps.fault ?? noFaults;
  const directory = join(options.dataDir, 'events');
  await mkdir(directory, { recursive: true, mode: 0o700 });
  await syncDirectory(options.dataDir);
  const segments = await segmentsOf(directory);
  const index = createEventIndex((segments[0] ?? 1) - 1);
  for (const segment of segments) {
    index.add(await readSegment(directory, segment, index.lastSequence, segment === segments.at(-1)));
  }

  let file: FileHandle | undefined;
  let queue: { readonly event: NewEvent; readonly done: (error?: OstlerError) => void }[] = [];
  let writing: Promise<void> | undefined;
  let broken: OstlerError | undefined;

  async function segmentFor(sequence: number): Promise<FileHandle> {
    const current = segments.at(-1);
    if (current === undefined || sequence - current >= segmentEvents) {
      await file?.close();
      file = await open(join(directory, segmentName(sequence)), 'a', 0o600);
      await syncDirectory(directory);
      segments.push(sequence);
      await dropOld();
    } else file ??= await open(join(directory, segmentName(current)), 'a', 0o600);
    return file;
  }

  /** A whole segment goes when the events after it are enough. */
  async function dropOld(): Promise<void> {
    for (;;) {
      const [oldest, second] = segments;
      if (oldest === undefined || second === undefined || index.lastSequence - second + 1 < keep) return;
      await rm(join(directory, segmentName(oldest)), { force: true });
      segments.shift();
      index.trim(index.lastSequence - second + 1);
    }
  }

  /** Everything that queued up while the disk was busy goes with one flush. */
  async function writeBatch(batch: typeof queue): Promise<void> {
    const records: EventRecord[] = [];
    for (const { event } of batch) {
      const record = index.prepare(event, index.lastSequence + records.length + 1, deps.clock.now());
      if (record !== undefined) records.push(record);
    }
    const [first] = records;
    if (first === undefined) return;
    const target = await segmentFor(first.sequence);
    await target.appendFile(records.map((record) => `${JSON.stringify(record)}\n`).join(''));
    fault('event-log.written');
    await target.datasync();
    fault('event-log.synced');
    index.add(records);
  }

  async function drain(): Promise<void> {
    while (queue.length > 0) {
      const batch = queue;
      queue = [];
      try {
        if (broken !== undefined) throw broken;
        await writeBatch(batch);
        batch.forEach(({ done }) => done());
      } catch (error) {
        // After a failed flush nobody knows what is on disk: no more is written until the log is opened anew.
        broken ??= storeError(error);
        batch.forEach(({ done }) => done(broken));
      }
    }
    writing = undefined;
  }

  return {
    append: (event) =>
      new Promise((resolve, reject) => {
        const done = (error?: OstlerError): void => {
          if (error === undefined) resolve();
          else reject(error);
        };
        queue.push({ event, done });
        writing ??= drain();
      }),
    list: index.list,
    watch: index.watch,
    close: async () => {
      await writing;
      broken = new OstlerError('STORE_ERROR', 'The event log is closed.');
      await file?.close();
    },
  };
}

function segmentName(first: number): string {
  return `${String(first).padStart(16, '0')}.jsonl`;
}

async function segmentsOf(directory: string): Promise<number[]> {
  const names = await readdir(directory);
  return names
    .map((name) => {
      const match = SEGMENT_NAME.exec(name);
      if (match === null) throw foreign(join(directory, name), 'is not a file of the event log');
      return Number(match[1]);
    })
    .sort((a, b) => a - b);
}

async function readSegment(directory: string, first: number, last: number, isNewest: boolean): Promise<EventRecord[]> {
  const path = join(directory, segmentName(first));
  if (first !== last + 1) throw foreign(path, `begins at event ${first}, but the one before ends at ${last}`);
  const text = await readFile(path, 'utf8');
  const end = text.lastIndexOf('\n') + 1;
  if (end < text.length) {
    if (!isNewest) throw foreign(path, 'ends in the middle of a line');
    await truncate(path, Buffer.byteLength(text.slice(0, end)));
  }
  const lines = end === 0 ? [] : text.slice(0, end - 1).split('\n');
  return lines.map((line, offset) => parseLine(line, first + offset, path));
}

function parseLine(line: string, sequence: number, path: string): EventRecord {
  try {
    const record = eventSchema.parse(JSON.parse(line));
    if (record.sequence !== sequence) throw new Error(`its sequence is ${record.sequence}, not ${sequence}`);
    return record;
  } catch (error) {
    throw foreign(path, `line of event ${sequence} does not parse: ${(error as Error).message}`);
  }
}

function foreign(path: string, why: string): OstlerError {
  return new OstlerError('STORE_ERROR', `${path} ${why}.`, {
    remedy: 'Move it away, or bring it back from a backup; nothing was changed.',
    metadata: { file: path },
  });
}

function storeError(error: unknown): OstlerError {
  if (error instanceof OstlerError) return error;
  return new OstlerError('STORE_ERROR', `The event log cannot be written: ${(error as Error).message}`, {
    remedy: 'Make room on the disk of the data directory, then restart the controller.',
    cause: error,
  });
}
