import type { Clock } from '../../proto/kit/clock.js';

/** An output stream: a real one, or a test's. `columns` is set on terminals only. */
export type OutputStream = NodeJS.WritableStream & { readonly isTTY?: boolean; readonly columns?: number };
/** Standard input; `setRawMode` exists on terminals only. */
export type InputStream = NodeJS.ReadableStream & {
  readonly isTTY?: boolean;
  setRawMode?(raw: boolean): unknown;
  unref?(): unknown;
};

/** All that the command knows of the world around it. Real in main.ts, made up in tests. */
export interface Io {
  readonly stdin: InputStream;
  readonly stdout: OutputStream;
  readonly stderr: OutputStream;
  readonly env: Readonly<Record<string, string | undefined>>;
  /** The person's home directory. */
  readonly home: string;
  readonly clock: Clock;
  /** A new request id: makes a repeated call harmless. */
  readonly requestId: () => string;
  /** Aborts at the first Ctrl-C. */
  readonly interrupted: AbortSignal;
}

export function isTerminal(stream: { readonly isTTY?: boolean }): boolean {
  return stream.isTTY === true;
}

/** Writes and waits while the reader is slow. */
export function writeAll(stream: OutputStream, data: string | Uint8Array): Promise<void> {
  return new Promise((resolve) => {
    if (stream.write(data)) resolve();
    else stream.once('drain', () => resolve());
  });
}
