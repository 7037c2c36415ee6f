// node dist/test/quickstart/visit.js: in a network of its own, what a new user does. Prints one JSON object.
import { execFile, spawn } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { WebSocket } from 'ws';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const execute = promisify(execFile);

export interface Run {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Visit {
  readonly first: Run;
  /** Status and content type of the console page. */
  readonly page: string;
  /** What the screen's WebSocket says first. */
  readonly greeting: string;
  /** What the serial console shows, and answers to a typed command. */
  readonly console: Run;
  readonly list: Run;
  readonly qemuBefore: string;
  readonly second: Run;
  readonly qemuAfter: string;
  readonly clean: Run;
  readonly links: string;
  readonly chains: string;
}

function quickstart(...args: string[]): Promise<Run> {
  return run(join(ROOT, 'scripts/quickstart'), args);
}

function run(file: string, args: readonly string[], input = ''): Promise<Run> {
  return new Promise((resolve, reject) => {
    const child = spawn(file, args, { stdio: 'pipe' });
    const said = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => (said.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text: string) => (said.stderr += text));
    child.once('error', reject);
    child.once('close', (code) => resolve({ code, ...said }));
    child.stdin.end(input);
  });
}

/** Processes whose command line names our folder: `pid name`, sorted. */
async function guests(): Promise<string> {
  const pattern = `${process.env['OSTLER_QUICKSTART_DIR'] ?? ''}/pool`;
  return execute('pgrep', ['-f', '--', pattern]).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

async function greet(page: URL): Promise<string> {
  const url = new URL('/console', page);
  url.protocol = 'ws:';
  url.search = page.search;
  const socket = new WebSocket(url);
  try {
    return await new Promise((resolve, reject) => {
      socket.once('message', (data: Buffer) => resolve(data.toString('latin1')));
      socket.once('error', reject);
      socket.once('close', () => reject(new Error('the console closed before it said anything')));
    });
  } finally {
    socket.terminate();
  }
}

async function visit(): Promise<Visit> {
  await execute('ip', ['link', 'set', 'lo', 'up']);
  const ostler = join(ROOT, 'scripts/ostler');
  try {
    const first = await quickstart();
    const url = new URL(/^ +(http:\S+)$/m.exec(first.stdout)?.[1] ?? 'http://127.0.0.1:1/no-url-was-printed');
    const answer = await fetch(url);
    const greeting = await greet(url);
    const list = await run(ostler, ['list', '-o', 'csv']);
    const serial = await run(ostler, ['console', 'hello'], '\necho $((6 * 7))-typed\n');
    const qemuBefore = await guests();
    const second = await quickstart();
    const qemuAfter = await guests();
    const clean = await quickstart('--clean');
    const links = (await execute('ip', ['-brief', 'link'])).stdout;
    const chains = (await execute('iptables-save')).stdout;
    return {
      first,
      page: `${answer.status} ${answer.headers.get('content-type') ?? ''}`,
      greeting,
      console: serial,
      list,
      qemuBefore,
      second,
      qemuAfter,
      clean,
      links,
      chains,
    };
  } finally {
    await quickstart('--clean');
  }
}

process.stdout.write(JSON.stringify(await visit()));
