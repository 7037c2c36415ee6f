import { spawn, type ChildProcess, type StdioOptions } from 'node:child_process';
import { join } from 'node:path';
import type { Output } from '../guest/run.js';
import { FILES } from './layout.js';
import { childOf, signal, until } from './processes.js';

/** A place where programs can run: a host, or the fabric. */
export interface Place {
  readonly name: string;
  /** A process whose namespaces make the place. */
  readonly pid: number;
  /** Whether it has more than a network namespace of its own. */
  readonly whole: boolean;
  /** "-" when it has none. */
  readonly cgroup: string;
}

export interface RunOptions {
  readonly env?: Readonly<Record<string, string>>;
  readonly cwd?: string;
}

export interface SpawnOptions extends RunOptions {
  /** As for node:child_process; all piped when left out. */
  readonly stdio?: StdioOptions;
}

/** A program running in a place. It dies with the process that started it. */
export interface LabProcess {
  /** Its standard streams and exit event; its pid is that of the way in, not of the program. */
  readonly child: ChildProcess;
  /** The program's process id as seen from the machine. */
  pid(): Promise<number>;
  kill(name?: NodeJS.Signals): Promise<void>;
  readonly ended: Promise<{ readonly code: number | null; readonly signal: NodeJS.Signals | null }>;
}

function command(place: Place, argv: readonly string[], cwd: string | undefined): [string, ...string[]] {
  // A signal does not pass nsenter when it has forked; this way nobody outlives it.
  const dieWithParent = ['setpriv', '--pdeathsig', 'KILL'];
  const flags = place.whole ? ['-m', '-u', '-i', '-n', '-p', ...(place.cgroup === '-' ? [] : ['-C'])] : ['-n'];
  return [
    ...(['setpriv', '--pdeathsig', 'KILL', join(FILES, 'join.sh'), place.cgroup] as const),
    ...['nsenter', '-t', place.pid.toString(), ...flags, '--', ...dieWithParent],
    ...(cwd === undefined ? [] : ['env', `--chdir=${cwd}`]),
    ...argv,
  ];
}

/** Starts a program in a place. Its environment is ours and `env`; its directory is / unless told. */
export function enter(place: Place, argv: readonly string[], options: SpawnOptions = {}): LabProcess {
  const [file, ...args] = command(place, argv, options.cwd);
  const child = spawn(file, args, {
    stdio: options.stdio ?? 'pipe',
    cwd: '/',
    env: { ...process.env, ...options.env },
  });
  const ended = new Promise<{ code: number | null; signal: NodeJS.Signals | null }>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code, signal) => {
      resolve({ code, signal });
    });
  });
  ended.catch(() => undefined);
  const pid = async (): Promise<number> => {
    const outer = child.pid;
    if (outer === undefined) throw new Error(`${argv.join(' ')} did not start`);
    if (!place.whole) return outer;
    return until(`start of ${argv.join(' ')} on ${place.name}`, 5, () => childOf(outer));
  };
  const kill = async (name: NodeJS.Signals = 'SIGTERM'): Promise<void> => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    signal(await pid(), name);
  };
  return { child, pid, kill, ended };
}

/** Runs a program in a place to its end. @throws Error with its exit code and what it said on stderr */
export async function execute(place: Place, argv: readonly string[], options: RunOptions = {}): Promise<Output> {
  const { child, ended } = enter(place, argv, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
  const closed = new Promise((resolve) => child.once('close', resolve));
  let stdout = '';
  let stderr = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (stderr += text));
  const { code, signal: by } = await ended;
  await closed;
  if (code === 0) return { stdout, stderr };
  const how = by ?? `exit code ${(code ?? 0).toString()}`;
  throw new Error(`${argv.join(' ')} on ${place.name}: ${how}: ${(stderr || stdout).trim()}`);
}
