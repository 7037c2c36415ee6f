#!/usr/bin/env node
import { randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { systemClock } from '../../proto/kit/clock.js';
import { EXIT } from './codes.js';
import type { Io } from './io.js';
import { run } from './program.js';

/** How long a verb may take to say goodbye after Ctrl-C. */
const GRACE_MS = 1000;

function version(): string {
  const file = new URL('../../../package.json', import.meta.url);
  return (JSON.parse(readFileSync(file, 'utf8')) as { version: string }).version;
}

const interrupt = new AbortController();
let signalCode: number = EXIT.INTERRUPTED;
function onSignal(code: number): void {
  signalCode = code;
  if (interrupt.signal.aborted) process.exit(code);
  interrupt.abort(new DOMException('Interrupted.', 'AbortError'));
  setTimeout(() => process.exit(code), GRACE_MS).unref();
}
process.on('SIGINT', () => onSignal(EXIT.INTERRUPTED));
process.on('SIGTERM', () => onSignal(128 + 15));
process.on('SIGHUP', () => onSignal(128 + 1));
// `ostler list | head -1`: the reader has enough.
process.stdout.on('error', (error: NodeJS.ErrnoException) =>
  process.exit(error.code === 'EPIPE' ? EXIT.OK : EXIT.ERROR),
);

const io: Io = {
  stdin: process.stdin,
  stdout: process.stdout,
  stderr: process.stderr,
  env: process.env,
  home: homedir(),
  clock: systemClock,
  requestId: () => randomUUID(),
  interrupted: interrupt.signal,
};
const code = await run(process.argv.slice(2), io, version());
process.exitCode = code === EXIT.INTERRUPTED ? signalCode : code;
// A pipe that was read must not keep the process; a file as input has no such method.
io.stdin.unref?.();
