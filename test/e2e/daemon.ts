import { createWriteStream } from 'node:fs';
import { readFile } from 'node:fs/promises';
import type { Lab, LabProcess } from '../lab/lab.js';

/** A daemon of ours in a place of the lab: started, killed and started again as a service manager would. */
export interface Daemon {
  readonly name: string;
  readonly log: string;
  /** Starts it; it must not be running. `env` goes on top of the test's own environment. */
  start(env?: Readonly<Record<string, string>>): Promise<void>;
  /** SIGTERM, and waits for its end. @throws Error when it takes longer than 15 s */
  stop(): Promise<void>;
  /** SIGKILL, and waits for its end. */
  kill(): Promise<void>;
  running(): boolean;
  /** Resolves when the present process has ended. */
  ended(): Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
  pid(): Promise<number>;
  logText(): Promise<string>;
}

export function createDaemon(
  options: { name: string; place: string; argv: readonly string[]; log: string },
  lab: Lab,
): Daemon {
  let process: LabProcess | undefined;
  const current = (): LabProcess => {
    if (process === undefined) throw new Error(`${options.name} was never started`);
    return process;
  };
  const running = (): boolean => process?.child.exitCode === null && process.child.signalCode === null;
  return {
    name: options.name,
    log: options.log,
    running,
    start: async (env = {}) => {
      if (running()) throw new Error(`${options.name} is running already`);
      process = await lab.spawn(options.place, options.argv, { env, stdio: ['ignore', 'pipe', 'pipe'] });
      const log = createWriteStream(options.log, { flags: 'a' });
      process.child.stdout?.pipe(log, { end: false });
      process.child.stderr?.pipe(log, { end: false });
    },
    stop: async () => {
      if (!running()) return;
      await current().kill('SIGTERM');
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error(`${options.name} ignores SIGTERM`)), 15_000).unref();
      });
      await Promise.race([current().ended, late]);
    },
    kill: async () => {
      if (!running()) return;
      await current().kill('SIGKILL');
      await current().ended;
    },
    ended: () => current().ended,
    pid: () => current().pid(),
    logText: () => readFile(options.log, 'utf8').catch(() => ''),
  };
}
