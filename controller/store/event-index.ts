import { createHash } from 'node:crypto';
import { OstlerError } from '../../proto/kit/errors.js';
import type { EventRecord, NewEvent } from '../engine/env.js';

/** `ev-` and sixteen characters of base 32: of the event's key, so that the same event has the same id, or of its number. */
const ALPHABET = '0123456789abcdefghjkmnpqrstvwxyz';

export function eventId(key: string): string {
  const bytes = createHash('sha256').update(key).digest().subarray(0, 16);
  return `ev-${Array.from(bytes, (byte) => ALPHABET.charAt(byte & 31)).join('')}`;
}

/** The in-memory side of an event log: the newest events, those who watch, and which keys are known. */
export interface EventIndex {
  readonly lastSequence: number;
  /** Sequence of the oldest event that is kept; lastSequence + 1 when there is none. */
  readonly firstSequence: number;
  /** The record to write; undefined when this event is in the log, or was and is too old to be. */
  prepare(event: NewEvent, sequence: number, now: number): EventRecord | undefined;
  /** Makes written events visible. */
  add(records: readonly EventRecord[]): void;
  /** Forgets the oldest so that `keep` are left. */
  trim(keep: number): void;
  readonly list: (options: {
    readonly beforeSequence: number;
    readonly limit: number;
    readonly matches: (event: EventRecord) => boolean;
  }) => readonly EventRecord[];
  readonly watch: (afterSequence: number | undefined, signal: AbortSignal) => AsyncIterable<EventRecord>;
}

export function createEventIndex(lastSequence = 0): EventIndex {
  const records: EventRecord[] = [];
  const ids = new Set<string>();
  const watchers = new Set<() => void>();
  let last = lastSequence;
  const first = (): number => records[0]?.sequence ?? last + 1;

  async function* watch(after: number | undefined, signal: AbortSignal): AsyncIterable<EventRecord> {
    let position = after ?? last;
    if (position > last || position < first() - 1) throw lostPlace();
    while (!signal.aborted) {
      // A reader that is slower than the log's turnover has lost its place: it must know, not skip.
      if (position < first() - 1) throw lostPlace();
      const next = records[position - first() + 1];
      if (next === undefined) await nextAdd(watchers, signal);
      else {
        yield next;
        position = next.sequence;
      }
    }
  }

  return {
    get lastSequence() {
      return last;
    },
    get firstSequence() {
      return first();
    },
    prepare: (event, sequence, now) => {
      const { key, time = now, ...rest } = event;
      const id = eventId(key ?? `#${sequence}`);
      if (ids.has(id)) return undefined;
      const oldest = records[0];
      if (key !== undefined && oldest !== undefined && oldest.sequence > 1 && time < oldest.time) return undefined;
      ids.add(id);
      return { id, sequence, time, ...rest };
    },
    add: (added) => {
      for (const record of added) {
        records.push(Object.freeze(record));
        ids.add(record.id);
        last = record.sequence;
      }
      watchers.forEach((wake) => wake());
    },
    trim: (keep) => {
      for (const record of records.splice(0, Math.max(0, records.length - keep))) ids.delete(record.id);
    },
    list: ({ beforeSequence, limit, matches }) => {
      const found: EventRecord[] = [];
      const from = beforeSequence === 0 ? records.length - 1 : Math.min(records.length, beforeSequence - first()) - 1;
      for (let index = from; index >= 0 && found.length < limit; index -= 1) {
        const record = records[index];
        if (record !== undefined && matches(record)) found.push(record);
      }
      return found;
    },
    watch,
  };
}

function lostPlace(): OstlerError {
  return new OstlerError('BAD_TOKEN', 'resume_token: the place it names is not in the event log.', {
    field: 'resume_token',
    remedy: 'List the events, then watch anew without a token.',
  });
}

function nextAdd(watchers: Set<() => void>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      watchers.delete(done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    watchers.add(done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
