import { execFile } from 'node:child_process';
import { OstlerError } from '../../proto/kit/errors.js';

export interface RunOptions {
  readonly timeoutMs: number;
  readonly signal?: AbortSignal;
  /** Hears every piece of standard output as it comes. */
  readonly onOutput?: (text: string) => void;
}

export interface RunResult {
  readonly stdout: string;
  readonly stderr: string;
  /** Exit status; -1 when a signal ended it. */
  readonly code: number;
}

const OUTPUT_LIMIT_BYTES = 4 * 1024 * 1024;

/**
 * Runs a program without a shell and waits for it. A non-zero exit is a result, not an error; TIMEOUT when it took too long,
 * the signal's reason when it was aborted, UNSUPPORTED when the program is not there.
 */
export function run(program: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const { timeoutMs, signal, onOutput } = options;
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(signal.reason as Error);
      return;
    }
    const limits = { timeout: timeoutMs, killSignal: 'SIGKILL' as const, maxBuffer: OUTPUT_LIMIT_BYTES };
    const env = { PATH: process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin', LC_ALL: 'C' };
    const child = execFile(program, [...args], { ...limits, env }, (error, stdout, stderr) => {
      signal?.removeEventListener('abort', kill);
      if (signal?.aborted === true) {
        reject(signal.reason as Error);
        return;
      }
      if (error === null) {
        resolve({ stdout, stderr, code: 0 });
        return;
      }
      if (error.code === 'ENOENT') {
        reject(notInstalled(program));
        return;
      }
      if (error.killed === true && error.signal === 'SIGKILL') {
        reject(tookTooLong(program, timeoutMs, stderr));
        return;
      }
      resolve({ stdout, stderr, code: typeof error.code === 'number' ? error.code : -1 });
    });
    const kill = (): void => {
      child.kill('SIGKILL');
    };
    signal?.addEventListener('abort', kill, { once: true });
    if (onOutput !== undefined) child.stdout?.on('data', (text: string | Buffer) => onOutput(text.toString()));
  });
}

function notInstalled(program: string): OstlerError {
  return new OstlerError('UNSUPPORTED', `${program} is not installed on this host.`, {
    remedy: 'Install qemu-utils and qemu-system-x86 (Debian) or qemu-img and qemu-kvm (RHEL).',
  });
}

function tookTooLong(program: string, timeoutMs: number, stderr: string): OstlerError {
  return new OstlerError('TIMEOUT', `${program} did not end within ${Math.round(timeoutMs / 1000)} s and was killed.`, {
    remedy: 'Look whether the storage under it hangs.',
    metadata: { stderr: stderr.split('\n')[0]?.slice(0, 200) ?? '' },
  });
}
