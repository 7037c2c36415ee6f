/** The last 64 KiB of a console, whatever it has said. */
export const REPLAY_BYTES = 64 * 1024;

export interface Replay {
  push(chunk: Buffer): void;
  content(): Buffer;
}

export function createReplay(seed: Buffer = Buffer.alloc(0)): Replay {
  let chunks: Buffer[] = seed.length === 0 ? [] : [seed];
  let size = seed.length;
  const trim = (): void => {
    const whole = Buffer.concat(chunks);
    const kept = whole.subarray(Math.max(0, whole.length - REPLAY_BYTES));
    chunks = [Buffer.from(kept)];
    size = kept.length;
  };
  if (size > REPLAY_BYTES) trim();
  return {
    push(chunk) {
      chunks.push(chunk);
      size += chunk.length;
      // Trimmed now and then, not at every chunk: a guest that prints a screenful a second costs nothing.
      if (size > 2 * REPLAY_BYTES) trim();
    },
    content() {
      const whole = Buffer.concat(chunks);
      return whole.subarray(Math.max(0, whole.length - REPLAY_BYTES));
    },
  };
}

export interface Joint {
  readonly history: Buffer;
  /** What the stream will bring next although the history has it already. */
  readonly repeated: Buffer;
}

/**
 * History from the log, then what the stream brought while the log was read. The last `grown` bytes of the log were written
 * after somebody began to open the stream, so that the stream may begin anywhere among them, and may be behind or ahead of
 * the log: what both have is not said twice.
 */
export function joinHistory(log: Buffer, grown: number, stream: Buffer): Joint {
  for (let from = Math.max(0, log.length - grown); from < log.length; from++) {
    const shared = log.subarray(from, from + stream.length);
    if (shared.length === 0 || !shared.equals(stream.subarray(0, shared.length))) continue;
    const history = Buffer.concat([log, stream.subarray(shared.length)]);
    return { history, repeated: log.subarray(from + shared.length) };
  }
  return { history: Buffer.concat([log, stream]), repeated: Buffer.alloc(0) };
}

/** A chunk of the stream without what the history has already; `repeated` is what may still come of that. */
export function withoutRepeated(
  chunk: Buffer,
  repeated: Buffer,
): { readonly fresh: Buffer; readonly repeated: Buffer } {
  const length = Math.min(chunk.length, repeated.length);
  if (!chunk.subarray(0, length).equals(repeated.subarray(0, length)))
    return { fresh: chunk, repeated: Buffer.alloc(0) };
  return { fresh: chunk.subarray(length), repeated: repeated.subarray(length) };
}
