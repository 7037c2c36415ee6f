import { spawn } from 'node:child_process';
import { open, readFile, type FileHandle } from 'node:fs/promises';
import { OstlerError } from '../../proto/kit/errors.js';

/**
 * Takes flock(2) on a file for the life of this process: the kernel gives it back whatever way the process ends, so that a
 * lock is never stale. Node has no call for it; util-linux's flock takes the lock on the file that it inherits from us, and
 * the lock stays with our open file when that helper is gone. STORE_ERROR when another process has it.
 */
export async function lockFile(path: string): Promise<FileHandle> {
  const file = await open(path, 'a+', 0o600);
  try {
    const code = await runFlock(file.fd);
    if (code !== 0) throw await heldByAnother(path);
    await file.truncate(0);
    await file.write(`${process.pid}\n`);
    return file;
  } catch (error) {
    await file.close();
    throw error;
  }
}

function runFlock(fd: number): Promise<number | null> {
  return new Promise((resolve, reject) => {
    const child = spawn('flock', ['--exclusive', '--nonblock', '3'], { stdio: ['ignore', 'ignore', 'ignore', fd] });
    child.once('error', (error) =>
      reject(
        new OstlerError('STORE_ERROR', `Cannot lock the store: flock(1) does not run: ${error.message}`, {
          remedy: 'Install util-linux.',
          cause: error,
        }),
      ),
    );
    child.once('exit', (code) => resolve(code));
  });
}

async function heldByAnother(path: string): Promise<OstlerError> {
  const owner = (await readFile(path, 'utf8')).trim();
  return new OstlerError('STORE_ERROR', `Another controller (process ${owner || 'unknown'}) has this store open: ${path}`, {
    remedy: 'Stop it first, or give this one a data directory of its own.',
    metadata: { file: path, pid: owner },
  });
}
