/**
 * Cleans up after a test process that was killed: a shell whose standard input is a pipe from us. When the pipe closes,
 * for whatever reason, it ends the guests of a private libvirtd (the daemon itself dies with us) and removes the directory.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

/** Only what still is a QEMU is killed: a pid of a file may be another process's by now. */
const SWEEP = `cat > /dev/null
for file in "$1"/rt/qemu/*.pid; do
  [ -e "$file" ] || continue
  read -r pid < "$file" || [ -n "$pid" ] || continue
  read -r name < "/proc/$pid/comm" || continue
  case $name in qemu*) kill -KILL "$pid" ;; esac
done
rm -rf -- "$1"
`;

export interface Sweeper {
  /** Sweeps now; resolves when nothing is left. */
  sweep(): Promise<void>;
}

export function startSweeper(dir: string): Sweeper {
  // A session of its own: whoever kills our process group leaves it alone.
  const child = spawn('/bin/sh', ['-c', SWEEP, 'sweeper', dir], {
    stdio: ['pipe', 'ignore', 'ignore'],
    detached: true,
  });
  const ended = once(child, 'exit');
  child.unref();
  (child.stdin as unknown as { unref?: () => void }).unref?.();
  return {
    async sweep() {
      child.ref();
      child.stdin.end();
      await ended;
    },
  };
}
