import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { PassThrough } from 'node:stream';
import { systemClock } from '../../proto/kit/clock.js';
import type { Io } from '../../controller/cli/io.js';
import { run } from '../../controller/cli/program.js';
import { NOW, TOKEN, type Fake } from './fake-server.js';

export interface Outcome {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly stdin?: string;
  readonly interruptAfterMs?: number;
  readonly now?: number;
}

/** Runs one command line in this process, not on a terminal, at a fixed time. */
export async function ostler(
  fake: Fake | undefined,
  line: readonly string[],
  options: RunOptions = {},
): Promise<Outcome> {
  const written = { stdout: '', stderr: '' };
  const collect = (name: 'stdout' | 'stderr'): PassThrough => {
    const stream = new PassThrough();
    stream.on('data', (chunk: Buffer) => (written[name] += chunk.toString()));
    return stream;
  };
  const stdin = new PassThrough();
  stdin.end(options.stdin ?? '');
  const interrupt = new AbortController();
  const timer =
    options.interruptAfterMs === undefined
      ? undefined
      : setTimeout(() => interrupt.abort(new DOMException('Interrupted.', 'AbortError')), options.interruptAfterMs);
  let requests = 0;
  const io: Io = {
    stdin,
    stdout: collect('stdout'),
    stderr: collect('stderr'),
    env: {
      OSTLER_CONFIG: '/nonexistent/config.yaml',
      ...(fake === undefined ? {} : { OSTLER_ADDRESS: fake.address, OSTLER_TOKEN: TOKEN }),
      ...options.env,
    },
    home: '/nonexistent',
    clock: { ...systemClock, now: () => options.now ?? NOW },
    requestId: () => `request-${++requests}`,
    interrupted: interrupt.signal,
  };
  const code = await run(line, io, '0.1.0');
  clearTimeout(timer);
  await new Promise((resolve) => setImmediate(resolve));
  return { code, ...written };
}

const GOLDEN = new URL('../../../test/cli/golden/', import.meta.url);

/** The expected text of a golden file; OSTLER_UPDATE_GOLDEN=1 writes it instead, for a person to review. */
export function golden(name: string, actual: string): string {
  const file = new URL(name, GOLDEN);
  if (process.env['OSTLER_UPDATE_GOLDEN'] === '1') writeFileSync(file, actual);
  return readFileSync(file, 'utf8');
}

/** A directory that is gone when the test is over. */
export function temporaryDirectory(t: { teardown(undo: () => void): void }): string {
  const path = mkdtempSync(join(tmpdir(), 'ostler-cli-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}
