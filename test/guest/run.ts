import { execFile } from 'node:child_process';

/** What a program said. */
export interface Output {
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a program to its end, without a shell.
 * @throws Error naming the command, its exit code and what it said on stderr
 */
export function run(argv: readonly [string, ...string[]], options: { cwd?: string } = {}): Promise<Output> {
  const [file, ...args] = argv;
  return new Promise((resolve, reject) => {
    execFile(file, args, { ...options, maxBuffer: 64 << 20, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) resolve({ stdout, stderr });
      else reject(new Error(`${argv.join(' ')}: ${stderr.trim() || error.message}`, { cause: error }));
    });
  });
}
