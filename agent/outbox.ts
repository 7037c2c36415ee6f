import { mkdir, open, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { ostler } from '../proto/gen/ostler.js';
import type { FaultPoint } from '../proto/kit/fault.js';
import type { Log } from '../proto/kit/log.js';
import { toWireTime } from '../proto/time.js';
import { writeFileAtomic } from './linux/durable.js';

/** What happened, for the controller's event log: an edge, never to be lost. */
export interface AgentEvent {
  /** `domain.started`, `hypervisor.lost` … */
  readonly kind: string;
  readonly vmUuid: string;
  readonly vmId: string;
  /** One sentence for a person. */
  readonly message: string;
  readonly metadata: Readonly<Record<string, string>>;
  /** Milliseconds since 1970. */
  readonly time: number;
}

export type SequencedEvent = AgentEvent & { readonly sequence: number };

/**
 * Events on their way to the controller, on disk until it has acknowledged them. Sequence numbers grow for ever; an event is
 * given to the link only when its number is durable, so that no number is ever used twice.
 */
export interface Outbox {
  /** Queues it; durable soon. `onDurable` hears of it then. */
  add(event: AgentEvent): void;
  /** Durable and not acknowledged, oldest first. */
  pending(): readonly SequencedEvent[];
  /** Everything up to this number has arrived. */
  acknowledge(sequence: number): void;
  /** Tries to make durable what is not yet, also what could not be written before; resolves when that try is over. */
  flush(): Promise<void>;
  onDurable: (event: SequencedEvent) => void;
}

const lineSchema = z.union([
  z.strictObject({ next: z.number() }),
  z.strictObject({ sequence: z.number(), event: z.string() }),
  z.strictObject({ ack: z.number() }),
]);

/** Beyond this many the oldest tenth makes room, and one event says so. A controller away for weeks must not fill a disk. */
const LIMIT = 10_000;
/** Lines of acknowledged events in the file before it is written anew. */
const COMPACT_AFTER = 2_000;

export async function openOutbox(path: string, deps: { log: Log; fault: FaultPoint }): Promise<Outbox> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const found = await readOrEmpty(path);
  let { pending, next, lines } = readLines(found);
  let unwritten: (SequencedEvent | { readonly ack: number })[] = [];
  /** On its way to the disk. */
  let batch: typeof unwritten = [];
  let writing: Promise<void> | undefined;

  const snapshot = (): string => [JSON.stringify({ next }), ...pending.map(eventLine), ''].join('\n');

  const writeAnew = async (): Promise<void> => {
    const before = pending.length;
    await writeFileAtomic(path, snapshot(), 0o600);
    lines = before + 1;
  };
  // A new file's name must be durable before an event in it counts; half a line would spoil the next one appended.
  if (!found.endsWith('\n')) await writeAnew();
  let torn = false;

  const writeAll = async (): Promise<void> => {
    while (unwritten.length > 0) {
      batch = unwritten;
      unwritten = [];
      const events = batch.filter((one) => 'sequence' in one);
      try {
        if (torn || lines - pending.length > COMPACT_AFTER) await writeAnew();
        else {
          await append(
            path,
            batch.map((one) => ('ack' in one ? JSON.stringify(one) : eventLine(one))),
          );
          lines += batch.length;
        }
        torn = false;
      } catch (error) {
        // They are not durable: they wait for the next write, which begins with a whole file.
        unwritten = [...batch, ...unwritten];
        torn = true;
        throw error;
      } finally {
        batch = [];
      }
      deps.fault('outbox.written');
      for (const event of events) outbox.onDurable(event);
    }
  };
  const write = (): void => {
    writing ??= writeAll()
      .catch((error: unknown) => deps.log.error({ err: error }, 'events could not be written to the outbox'))
      .finally(() => {
        writing = undefined;
      });
  };
  const enqueue = (event: AgentEvent): void => {
    const sequenced = { ...event, sequence: next++ };
    pending.push(sequenced);
    unwritten.push(sequenced);
  };

  const outbox: Outbox = {
    onDurable: () => undefined,
    add(event) {
      enqueue(event);
      if (pending.length > LIMIT) {
        const dropped = pending.splice(0, LIMIT / 10);
        const message = `${dropped.length} events older than this were dropped: the controller was away for too long.`;
        const metadata = { dropped: String(dropped.length) };
        enqueue({ kind: 'events.dropped', vmUuid: '', vmId: '', message, metadata, time: event.time });
      }
      write();
    },
    pending: () => pending.filter((event) => !unwritten.includes(event) && !batch.includes(event)),
    acknowledge(sequence) {
      if ((pending[0]?.sequence ?? Infinity) > sequence) return;
      pending = pending.filter((event) => event.sequence > sequence);
      unwritten.push({ ack: sequence });
      write();
    },
    async flush() {
      if (unwritten.length > 0) write();
      while (writing !== undefined) await writing;
    },
  };
  return outbox;
}

export function eventToWire(event: SequencedEvent): ostler.v1.AgentEvent.$Properties {
  return { ...event, time: toWireTime(event.time), metadata: { ...event.metadata } };
}

function eventLine(event: SequencedEvent): string {
  return JSON.stringify({ sequence: event.sequence, event: JSON.stringify(event) });
}

async function append(path: string, lines: readonly string[]): Promise<void> {
  const file = await open(path, 'a', 0o600);
  try {
    await file.writeFile(lines.map((line) => `${line}\n`).join(''));
    await file.datasync();
  } finally {
    await file.close();
  }
}

async function readOrEmpty(path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return '';
    throw error;
  }
}

/** A line that a crash cut off is the last one; its number was given to nobody. */
function readLines(text: string): { pending: SequencedEvent[]; next: number; lines: number } {
  let pending: SequencedEvent[] = [];
  let next = 1;
  let lines = 0;
  for (const raw of text.split('\n')) {
    const line = parseLine(raw);
    if (line === undefined) continue;
    lines++;
    if ('next' in line) next = Math.max(next, line.next);
    else if ('ack' in line) {
      const { ack } = line;
      pending = pending.filter((event) => event.sequence > ack);
      next = Math.max(next, ack + 1);
    } else {
      pending.push(JSON.parse(line.event) as SequencedEvent);
      next = Math.max(next, line.sequence + 1);
    }
  }
  return { pending, next, lines };
}

function parseLine(raw: string): z.infer<typeof lineSchema> | undefined {
  if (raw === '') return undefined;
  try {
    return lineSchema.safeParse(JSON.parse(raw)).data;
  } catch {
    return undefined;
  }
}
