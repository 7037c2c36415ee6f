import { z } from 'zod';

/**
 * A journal file is lines of JSON, only ever appended to: `begun` first, then any `note`s, then `done`, then `acked`. A
 * line cut off by a crash is as if it had never been written: the work it would have told of is repeated, which is safe
 * because every executor converges.
 */
const begunLine = z.object({
  line: z.literal('begun'),
  id: z.string(),
  vmId: z.string(),
  epoch: z.number(),
  kind: z.string(),
  /** Of the machine: a power cut lies between two different ones. */
  bootId: z.string(),
  time: z.number(),
  /** The command as it came, protobuf, base64. */
  command: z.string(),
});
const lineSchema = z.discriminatedUnion('line', [
  begunLine,
  z.object({ line: z.literal('note'), text: z.string() }),
  z.object({ line: z.literal('done'), time: z.number(), result: z.string() }),
  z.object({ line: z.literal('acked'), time: z.number() }),
]);
export type JournalLine = z.infer<typeof lineSchema>;

export interface JournalEntry {
  readonly id: string;
  readonly vmId: string;
  readonly epoch: number;
  readonly kind: string;
  readonly bootId: string;
  /** Milliseconds since 1970. */
  readonly begunTime: number;
  /** Wire form; empty once it is done. */
  readonly command: Uint8Array;
  /** What an executor wrote down before it did something that it may have to take back. */
  readonly notes: readonly string[];
  /** Wire form of the CommandResult; undefined while it is unfinished. */
  readonly result: Uint8Array | undefined;
  /** When the controller confirmed the result. */
  readonly ackedTime: number | undefined;
}

export function formatLine(line: JournalLine): string {
  return `${JSON.stringify(line)}\n`;
}

/** Undefined when not even the first line is whole: then nothing was begun. */
export function parseEntry(text: string): JournalEntry | undefined {
  const complete = text.split('\n').slice(0, -1);
  let entry: JournalEntry | undefined;
  for (const raw of complete) {
    const line = parseLine(raw);
    if (line === undefined) break;
    entry = applyLine(entry, line);
  }
  return entry;
}

function parseLine(raw: string): JournalLine | undefined {
  try {
    return lineSchema.safeParse(JSON.parse(raw)).data;
  } catch {
    return undefined;
  }
}

/** One step of an entry's life. */
export function applyLine(entry: JournalEntry | undefined, line: JournalLine): JournalEntry | undefined {
  if (line.line === 'begun') {
    const { id, vmId, epoch, kind, bootId } = line;
    const command = Buffer.from(line.command, 'base64');
    return {
      ...{ id, vmId, epoch, kind, bootId, command },
      begunTime: line.time,
      notes: [],
      result: undefined,
      ackedTime: undefined,
    };
  }
  if (entry === undefined) return undefined;
  switch (line.line) {
    case 'note':
      return { ...entry, notes: [...entry.notes, line.text] };
    case 'done':
      return { ...entry, command: new Uint8Array(), result: Buffer.from(line.result, 'base64') };
    case 'acked':
      return { ...entry, ackedTime: line.time };
  }
}
