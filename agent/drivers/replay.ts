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

/**
 * History from the log, then what the stream has brought while the log was read. Some of it may be in both: the longest
 * end of the log that begins the stream is not said twice.
 */
export function joinHistory(log: Buffer, stream: Buffer): Buffer {
  const longest = Math.min(log.length, stream.length);
  for (let length = longest; length > 0; length--)
    if (log.subarray(log.length - length).equals(stream.subarray(0, length)))
      return Buffer.concat([log, stream.subarray(length)]);
  return Buffer.concat([log, stream]);
}
