/**
 * A real libvirtd of the machine, as root, that shares nothing with the machine's own: private mount and network
 * namespaces, private configuration and state, no /dev/kvm. Its socket lies in a directory of its own and is reachable
 * from outside. Processes are ended by pid alone.
 */
import { spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { startSweeper } from './sweeper.js';

export interface PrivateLibvirtd {
  /** The daemon's socket. */
  readonly socket: string;
  /** Everything it writes; `images/` inside is for disks. */
  readonly dir: string;
  readonly images: string;
  readonly pid: number;
  /** SIGKILLs the daemon; guests go on. */
  kill(): Promise<void>;
  /** Starts it again after `kill`, on the same state. */
  start(): Promise<void>;
  /** The QEMU process of a running guest. */
  guestPid(name: string): number;
  /** What the daemon logged. */
  log(): string;
  /** Ends daemon and guests, removes everything. */
  stop(): Promise<void>;
}

export interface PrivateLibvirtdOptions {
  /** Lines for libvirtd.conf beside the rig's own. */
  readonly libvirtdConf?: readonly string[];
  /** Bridges for guests' NICs, made anew in the network namespace of each life of the daemon. */
  readonly bridges?: readonly string[];
}

/** Binds the private directories over the machine's and becomes the daemon, so that the pid is the daemon's. */
const INIT = `set -eu
mount --make-rprivate /
for pair in etc:/etc/libvirt lib:/var/lib/libvirt log:/var/log/libvirt cache:/var/cache/libvirt rt:/run/libvirt; do
  mkdir -p "\${pair#*:}"
  mount --bind "$1/\${pair%%:*}" "\${pair#*:}"
done
if [ -e /dev/kvm ]; then
  mkdir -p "$1/dev"
  mount -t tmpfs -o mode=0755 none "$1/dev"
  for n in null zero full random urandom tty; do touch "$1/dev/$n"; mount --bind "/dev/$n" "$1/dev/$n"; done
  # Taps for guests' NICs.
  if [ -e /dev/net/tun ]; then mkdir "$1/dev/net"; touch "$1/dev/net/tun"; mount --bind /dev/net/tun "$1/dev/net/tun"; fi
  for d in pts shm; do mkdir "$1/dev/$d"; mount --rbind "/dev/$d" "$1/dev/$d"; done
  ln -s pts/ptmx "$1/dev/ptmx"
  mount --rbind "$1/dev" /dev
fi
ip link set lo up 2>/dev/null || true
dir=$1
shift
for bridge; do ip link add "$bridge" type bridge; ip link set "$bridge" up; done
exec /usr/sbin/libvirtd --config /etc/libvirt/libvirtd.conf --pid-file "$dir/libvirtd.pid"
`;

function configure(dir: string, options: PrivateLibvirtdOptions): void {
  for (const d of ['etc/qemu', 'lib', 'log', 'cache', 'rt', 'sock', 'images'])
    mkdirSync(join(dir, d), { recursive: true });
  writeFileSync(
    join(dir, 'etc/libvirtd.conf'),
    [
      `unix_sock_dir = "${dir}/sock"`,
      'auth_unix_rw = "none"',
      'auth_unix_ro = "none"',
      `host_uuid = "${hostUuid()}"`,
      'log_level = 3',
      `log_outputs = "3:file:${dir}/libvirtd.log"`,
      ...(options.libvirtdConf ?? []),
      '',
    ].join('\n'),
  );
  writeFileSync(
    join(dir, 'etc/qemu.conf'),
    [
      'user = "root"',
      'group = "root"',
      'security_driver = "none"',
      'dynamic_ownership = 0',
      'remember_owner = 0',
      'namespaces = []',
      'cgroup_controllers = []',
      'stdio_handler = "file"',
      '',
    ].join('\n'),
  );
  writeFileSync(join(dir, 'init.sh'), INIT);
}

/** Random, as two daemons of one host uuid refuse to migrate to one another; libvirt refuses a uuid of equal digits. */
function hostUuid(): string {
  return crypto.randomUUID();
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

async function until(what: string, condition: () => boolean | Promise<boolean>, timeoutMs: number): Promise<void> {
  const end = Date.now() + timeoutMs;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`${what}: not within ${timeoutMs} ms`);
    await sleep(20);
  }
}

function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const s = connect({ path });
    const end = (ok: boolean): void => {
      s.destroy();
      resolve(ok);
    };
    s.once('connect', () => end(true));
    s.once('error', () => end(false));
  });
}

async function endProcess(pid: number, signal: NodeJS.Signals): Promise<void> {
  if (!alive(pid)) return;
  process.kill(pid, signal);
  await until(`the end of process ${pid}`, () => !alive(pid), 15_000);
}

/** Starts one; throws with the daemon's own words when it does not come up. */
export async function startPrivateLibvirtd(options: PrivateLibvirtdOptions = {}): Promise<PrivateLibvirtd> {
  if (process.getuid?.() !== 0) throw new Error('a private libvirtd needs root (mount namespaces)');
  const dir = mkdtempSync(join(tmpdir(), 'private-libvirtd-'));
  configure(dir, options);
  const sweeper = startSweeper(dir);
  const socket = join(dir, 'sock/libvirt-sock');
  const qemuRun = join(dir, 'rt/qemu');
  let pid = 0;

  const start = async (): Promise<void> => {
    // A test that is killed takes its daemon with it; the sweeper sees to the rest.
    const init = ['--pdeathsig', 'KILL', '--', 'unshare', '--mount', '--net', '--'];
    const child = spawn('setpriv', [...init, '/bin/sh', join(dir, 'init.sh'), dir, ...(options.bridges ?? [])], {
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    let stderr = '';
    let ended = false;
    child.stderr.setEncoding('utf8').on('data', (text: string) => (stderr += text));
    child.once('exit', () => (ended = true));
    child.unref();
    (child.stderr as unknown as { unref?: () => void }).unref?.();
    pid = child.pid ?? 0;
    await until(
      'libvirtd',
      async () => {
        if (ended) throw new Error(`libvirtd ended: ${stderr}`);
        return existsSync(socket) && (await answers(socket));
      },
      60_000,
    ).catch((e: unknown) => {
      throw new Error(`the private libvirtd did not start: ${String(e)}\n${stderr}`);
    });
  };
  const guestPids = (): number[] =>
    existsSync(qemuRun)
      ? readdirSync(qemuRun)
          .filter((f) => f.endsWith('.pid'))
          .map((f) => Number(readFileSync(join(qemuRun, f), 'utf8')))
      : [];

  try {
    await start();
  } catch (e) {
    await sweeper.sweep();
    throw e;
  }
  return {
    socket,
    dir,
    images: join(dir, 'images'),
    get pid() {
      return pid;
    },
    kill: () => endProcess(pid, 'SIGKILL'),
    start,
    guestPid: (name) => Number(readFileSync(join(qemuRun, `${name}.pid`), 'utf8')),
    log: () => (existsSync(join(dir, 'libvirtd.log')) ? readFileSync(join(dir, 'libvirtd.log'), 'utf8') : ''),
    async stop() {
      for (const guest of guestPids()) await endProcess(guest, 'SIGKILL');
      await endProcess(pid, 'SIGTERM').catch(() => endProcess(pid, 'SIGKILL'));
      await sweeper.sweep();
    },
  };
}
