import { z } from 'zod';

/**
 * The journal is lines of JSON, each with the id of its command: `begun` first, then any `note`s, then `done`, then `acked`;
 * or `forgotten`, as if it had never been begun. A line cut off by a crash is as if it had never been written: the work it
 * would have told of is repeated, which is safe because every executor converges.
 */
const lineSchema = z.discriminatedUnion('line', [
  z.object({
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
  }),
  z.object({ line: z.literal('note'), id: z.string(), text: z.string() }),
  z.object({ line: z.literal('done'), id: z.string(), time: z.number(), result: z.string() }),
  z.object({ line: z.literal('acked'), id: z.string(), time: z.number() }),
  z.object({ line: z.literal('forgotten'), id: z.string() }),
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
  readonly doneTime: number | undefined;
  /** When the controller confirmed the result. */
  readonly ackedTime: number | undefined;
}

/** Undefined for what is no line of a journal. */
export function parseLine(raw: string): JournalLine | undefined {
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
    const open = { notes: [], result: undefined, doneTime: undefined, ackedTime: undefined };
    return { id, vmId, epoch, kind, bootId, command, begunTime: line.time, ...open };
  }
  if (entry === undefined) return undefined;
  switch (line.line) {
    case 'note':
      return { ...entry, notes: [...entry.notes, line.text] };
    case 'done':
      return {
        ...entry,
        command: new Uint8Array(),
        result: Buffer.from(line.result, 'base64'),
        doneTime: line.time,
      };
    case 'acked':
      return { ...entry, ackedTime: line.time };
    case 'forgotten':
      return undefined;
  }
}

/** The lines that make this entry: what is left of its history when the journal is written anew. */
export function linesOf(entry: JournalEntry): JournalLine[] {
  const { id, vmId, epoch, kind, bootId, begunTime, notes, result, doneTime, ackedTime } = entry;
  const command = Buffer.from(entry.command).toString('base64');
  return [
    { line: 'begun', id, vmId, epoch, kind, bootId, time: begunTime, command },
    ...notes.map((text): JournalLine => ({ line: 'note', id, text })),
    ...(result === undefined
      ? []
      : [{ line: 'done', id, time: doneTime ?? begunTime, result: Buffer.from(result).toString('base64') } as const]),
    ...(ackedTime === undefined ? [] : [{ line: 'acked', id, time: ackedTime } as const]),
  ];
}
