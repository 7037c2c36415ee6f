import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { TOKEN, type Fake } from './fake-server.js';

const PTY = fileURLToPath(new URL('../../../test/cli/terminal.py', import.meta.url));
export const MAIN = fileURLToPath(new URL('../../controller/cli/main.js', import.meta.url));

export type Step =
  { readonly expect: string } | { readonly send: string } | { readonly wait: number } | { readonly signal: number };

export interface Played {
  readonly output: string;
  readonly code: number | null;
  /** Whether the terminal was in raw mode after each step, and at the end. */
  readonly modes: readonly boolean[];
  readonly missing: string | null;
}

/** Runs the real command on a terminal of its own. */
export function play(fake: Fake, args: readonly string[], steps: readonly Step[], columns = 80): Promise<Played> {
  const task = {
    argv: [process.execPath, MAIN, ...args],
    env: environment(fake),
    columns,
    rows: 24,
    steps,
    timeout: 30,
  };
  return new Promise((resolve, reject) => {
    const python = spawn('python3', [PTY], { stdio: ['pipe', 'pipe', 'inherit'] });
    let text = '';
    python.stdout.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
    python.on('error', reject);
    python.on('close', () => {
      if (text === '') reject(new Error('The terminal driver printed nothing; its error is above.'));
      else resolve(JSON.parse(text) as Played);
    });
    python.stdin.end(JSON.stringify(task));
  });
}

export function environment(fake: Fake): Record<string, string> {
  return {
    OSTLER_ADDRESS: fake.address,
    OSTLER_TOKEN: TOKEN,
    OSTLER_CONFIG: '/nonexistent/config.yaml',
    TERM: 'xterm-256color',
    NO_COLOR: '',
  };
}
