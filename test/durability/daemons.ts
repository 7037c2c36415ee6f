import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createServer, type AddressInfo } from 'node:net';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The compiled programs; this file runs from dist/test/durability/. */
const DIST = fileURLToPath(new URL('../../', import.meta.url));
export const CONTROLLER = join(DIST, 'controller/main.js');
export const AGENT = join(DIST, 'agent/main.js');

export interface TracedDaemon {
  /** SIGTERM to the daemon itself; resolves when strace has written everything. */
  stop(): Promise<void>;
}

const CALLS =
  'open,openat,fsync,fdatasync,rename,renameat,renameat2,write,writev,pwrite64,pwritev,sendto,sendmsg,execve';

/** Starts a daemon under strace and waits until its log says `ready`. @throws Error with its log when it does not */
export async function startTraced(
  argv: readonly string[],
  options: { readonly trace: string; readonly ready: RegExp; readonly env?: Readonly<Record<string, string>> },
): Promise<TracedDaemon> {
  const flags = ['-f', '-yy', '-s', '6000', '-e', `trace=${CALLS}`, '-o', options.trace];
  const child = spawn('strace', [...flags, process.execPath, ...argv], {
    // Through the ring, no system call of ours would be seen.
    env: { ...process.env, UV_USE_IO_URING: '0', ...options.env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const closed = new Promise((resolve) => child.once('close', resolve));
  let log = '';
  const ready = new Promise<void>((resolve, reject) => {
    const take = (chunk: Buffer): void => {
      log += chunk.toString();
      if (options.ready.test(log)) resolve();
    };
    child.stdout.on('data', take);
    child.stderr.on('data', take);
    child.once('error', (error) => reject(new Error(`strace does not start: ${error.message}`)));
    child.once('exit', () => reject(new Error(`it ended: ${log}`)));
  });
  await ready;
  const pid = Number(/"pid":(\d+)/.exec(log)?.[1]);
  return {
    stop: async () => {
      if (child.exitCode === null) process.kill(pid, 'SIGTERM');
      await closed;
    },
  };
}

/** Runs a program to its end. @throws Error with what it said when it fails */
export async function runOnce(argv: readonly string[]): Promise<void> {
  const child: ChildProcess = spawn(process.execPath, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let said = '';
  child.stdout?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  child.stderr?.on('data', (chunk: Buffer) => (said += chunk.toString()));
  const [code] = (await once(child, 'close')) as [number | null];
  if (code !== 0) throw new Error(`${argv.join(' ')}: ${said}`);
}

export async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await new Promise((resolve) => server.close(resolve));
  return port;
}
