/**
 * The libvirt client against python3-libvirt, the N-API binding @unraid/libvirt and virsh, on one private daemon in one
 * run. Every client is a process of its own and measures its own CPU; rounds alternate between the clients, medians count.
 * The binding is installed into a temporary directory, with libvirt's headers unpacked beside it, and removed again.
 */
import { execFile, spawn } from 'node:child_process';
import {
  mkdtempSync,
  readFileSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
  existsSync,
  readlinkSync,
  unlinkSync,
} from 'node:fs';
import { createInterface } from 'node:readline';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { promisify } from 'node:util';
import { connect } from '../../agent/libvirt/index.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import type { Outcome, Task } from './libvirt-client.js';

const exec = promisify(execFile);
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 15);
const SECONDS = Number(process.env['BENCH_SECONDS'] ?? 0.3);
const SIZES = [10, 100, 1000];

interface Child {
  ask(task: Task): Promise<Outcome | { error: string }>;
  end(): void;
}

/** Starts a process that answers one line with one line. */
function startChild(command: string, args: readonly string[]): Child {
  const child = spawn(command, args, { stdio: ['pipe', 'pipe', 'ignore'] });
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    async ask(task) {
      child.stdin.write(`${JSON.stringify(task)}\n`);
      const line = await lines.next();
      if (line.done === true) return { error: `${command} ended` };
      return JSON.parse(line.value) as Outcome | { error: string };
    },
    end: () => void child.stdin.end(),
  };
}

const median = (list: readonly number[]): number => [...list].sort((a, b) => a - b)[Math.floor(list.length / 2)] ?? NaN;

interface Figures {
  readonly callsPerSecond: number;
  readonly cpuUs: number;
  readonly stallMs: number;
  readonly stallOwnMs: number;
}
type Cell = Figures | string;

function figures(outcomes: readonly (Outcome | { error: string })[]): Cell {
  const good = outcomes.filter((o): o is Outcome => !('error' in o));
  const bad = outcomes.find((o) => 'error' in o);
  if (good.length === 0) return bad !== undefined && 'error' in bad ? bad.error : 'no result';
  return {
    callsPerSecond: median(good.map((o) => (o.calls / o.wallMs) * 1000)),
    cpuUs: median(good.map((o) => (o.cpuMs * 1000) / o.calls)),
    stallMs: median(good.map((o) => o.stallMs)),
    stallOwnMs: median(good.map((o) => o.stallOwnMs)),
  };
}

/** Builds the binding in `dir`; resolves with why not, or undefined. */
async function installNapi(dir: string): Promise<string | undefined> {
  try {
    writeFileSync(join(dir, 'package.json'), '{"name":"bench","private":true}');
    await exec('apt-get', ['download', 'libvirt-dev'], { cwd: dir });
    const deb = readdirSync(dir).find((f) => f.endsWith('.deb'));
    if (deb === undefined) return 'libvirt-dev cannot be downloaded';
    await exec('dpkg-deb', ['-x', deb, 'dev'], { cwd: dir });
    const lib = join(dir, 'dev/usr/lib/x86_64-linux-gnu');
    for (const f of readdirSync(lib).filter((x) => x.endsWith('.so'))) {
      const target = join('/usr/lib/x86_64-linux-gnu', basename(readlinkSync(join(lib, f))));
      unlinkSync(join(lib, f));
      symlinkSync(target, join(lib, f));
    }
    const env = { ...process.env, CPLUS_INCLUDE_PATH: join(dir, 'dev/usr/include'), LIBRARY_PATH: lib };
    const args = ['install', '@unraid/libvirt', '--ignore-scripts=false', '--no-audit', '--no-fund'];
    await exec('npm', args, { cwd: dir, env, timeout: 240_000 });
    const built = join(dir, 'node_modules/@unraid/libvirt/build/Release/libvirt.node');
    return existsSync(built) ? undefined : 'it was not compiled';
  } catch (e) {
    return `cannot be installed here (${(e instanceof Error ? e.message : String(e)).split('\n')[0] ?? ''})`;
  }
}

/** virsh starts anew for every call: its CPU is that of its children. */
async function virsh(args: readonly string[]): Promise<Cell> {
  try {
    const walls: number[] = [];
    const cpu = childCpuMs();
    for (let i = 0; i < 10; i++) {
      const started = performance.now();
      await exec('virsh', [...args], { maxBuffer: 64 * 1024 * 1024 });
      walls.push(performance.now() - started);
    }
    return {
      callsPerSecond: 1000 / median(walls),
      cpuUs: ((childCpuMs() - cpu) * 1000) / walls.length,
      stallMs: 0,
      stallOwnMs: 0,
    };
  } catch (e) {
    return e instanceof Error ? (e.message.split('\n')[0] ?? '') : String(e);
  }
}

/** CPU time of ended children, from /proc/self/stat (cutime, cstime in 10 ms ticks). */
function childCpuMs(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? [];
  return (Number(fields[13]) + Number(fields[14])) * 10;
}

const show = (c: Cell | undefined): string =>
  c === undefined
    ? '-'
    : typeof c === 'string'
      ? c.slice(0, 60)
      : `${Math.round(c.callsPerSecond).toLocaleString('en')}/s, ${c.cpuUs < 1000 ? `${c.cpuUs.toFixed(0)} us` : `${(c.cpuUs / 1000).toFixed(2)} ms`} CPU${stalled(c)}`;

/** A client without an event loop has none. */
const stalled = (c: Figures): string =>
  c.stallMs === 0 ? '' : `, stall ${c.stallOwnMs.toFixed(1)} (${c.stallMs.toFixed(1)}) ms`;

const self = (name: string): string => join(import.meta.dirname, name);
const source = (name: string): string => join(import.meta.dirname, '../../../test/bench', name);

const temp = mkdtempSync(join(tmpdir(), 'bench-libvirt-'));
const libvirtd = await startPrivateLibvirtd();
const wireProcess = spawn(process.execPath, [self('libvirt-wire.js'), ...SIZES.map(String)], {
  stdio: ['pipe', 'pipe', 'inherit'],
});
const children: Child[] = [];
try {
  const wires = await new Promise<{ domains: number; socket: string }[]>((resolve) =>
    createInterface({ input: wireProcess.stdout }).once('line', (line) => resolve(JSON.parse(line) as never)),
  );
  const napiFailure = await installNapi(temp);
  const clients: [string, Child | undefined][] = [
    ['ours', startChild(process.execPath, [self('libvirt-client.js')])],
    ['python3-libvirt', startChild('/usr/bin/python3', [source('libvirt-client.py')])],
    [
      '@unraid/libvirt',
      napiFailure === undefined ? startChild(process.execPath, [self('libvirt-client.js'), '--napi', temp]) : undefined,
    ],
  ];
  children.push(...clients.flatMap(([, c]) => c ?? []));

  const lv = await connect({ uri: 'test:///default', socket: libvirtd.socket });
  const define = (n: number) =>
    lv
      .call('domainCreateXML', {
        xml: `<domain type='test'><name>vm${n}</name><memory>65536</memory><os><type>hvm</type></os></domain>`,
      })
      .then(() => undefined);
  let defined = 0;
  const grow = async (to: number): Promise<void> => {
    for (; defined < to; defined++) await define(defined);
  };

  const table: Record<string, Record<string, Cell>> = {};
  const measure = async (row: string, task: Omit<Task, 'seconds'>, virshArgs?: readonly string[]): Promise<void> => {
    const outcomes = new Map(clients.map(([name]) => [name, [] as (Outcome | { error: string })[]]));
    // The first round warms up. Short rounds in turn: what else the machine does meets every client alike.
    for (let round = 0; round <= ROUNDS; round++) {
      for (const [name, child] of clients) {
        const o = child === undefined ? { error: napiFailure ?? '' } : await child.ask({ ...task, seconds: SECONDS });
        if (round > 0) outcomes.get(name)?.push(o);
      }
    }
    const cells = Object.fromEntries([...outcomes].map(([name, list]) => [name, figures(list)]));
    if (virshArgs !== undefined) {
      const uri = `${task.uri.replace('://', '+unix://')}?socket=${task.socket}`;
      cells['virsh'] = await virsh(['-c', uri, ...virshArgs]);
    }
    table[row] = cells;
    const text = Object.entries(cells).map(([name, c]) => `${name}: ${show(c)}`);
    console.log(`${row.padEnd(34)} ${text.join(' | ')}`);
  };

  console.log(
    'stall: the worst delay of a 1 ms timer in the client, in brackets with the time that it waited for a CPU',
  );
  const base = { socket: libvirtd.socket, uri: 'test:///default' };
  await grow(10);
  await measure('domainGetInfo, sequential', { ...base, op: 'info', inflight: 1 }, ['dominfo', 'vm0']);
  await measure('domainGetInfo, 64 in flight', { ...base, op: 'info', inflight: 64 });
  await measure('domainGetXMLDesc, sequential', { ...base, op: 'xml', inflight: 1 }, ['dumpxml', 'vm0']);
  await measure('domainGetXMLDesc, 64 in flight', { ...base, op: 'xml', inflight: 64 });
  for (const size of SIZES) {
    await grow(size);
    await measure(`stats of ${size}, test driver`, { ...base, op: 'stats', inflight: 1 }, ['domstats']);
  }
  for (const { domains, socket } of wires) {
    await measure(
      `stats of ${domains} x 52 fields, replayed`,
      { socket, uri: 'qemu:///system', op: 'stats', inflight: 1 },
      ['domstats'],
    );
  }
  lv.close();

  const cell = (row: string, client: string): Figures | undefined => {
    const c = table[row]?.[client];
    return typeof c === 'object' ? c : undefined;
  };
  const ratio = (a: number | undefined, b: number | undefined): number | null =>
    a === undefined || b === undefined ? null : Math.round((a / b) * 100) / 100;
  const row = 'domainGetInfo, 64 in flight';
  const bulk = cell('stats of 1000 x 52 fields, replayed', 'ours');
  const result = {
    bench: 'libvirt',
    cpu_us_64: cell(row, 'ours')?.cpuUs ?? null,
    cpu_us_64_python: cell(row, 'python3-libvirt')?.cpuUs ?? null,
    cpu_ratio_to_python: ratio(cell(row, 'ours')?.cpuUs, cell(row, 'python3-libvirt')?.cpuUs),
    calls_ratio_to_napi: ratio(cell(row, 'ours')?.callsPerSecond, cell(row, '@unraid/libvirt')?.callsPerSecond),
    stats_1000_cpu_ms: bulk === undefined ? null : bulk.cpuUs / 1000,
    stats_1000_stall_ms: bulk?.stallOwnMs ?? null,
    stats_1000_stall_with_cpu_wait_ms: bulk?.stallMs ?? null,
  };
  const within = (value: number | null, holds: (value: number) => boolean): boolean | null =>
    value === null ? null : holds(value);
  const met = {
    cpu_not_over_python: within(result.cpu_ratio_to_python, (v) => v <= 1),
    calls_1_5_times_napi: within(result.calls_ratio_to_napi, (v) => v >= 1.5),
    stats_1000_cpu_9_ms: within(result.stats_1000_cpu_ms, (v) => v <= 9),
    stats_1000_stall_15_ms: within(result.stats_1000_stall_ms, (v) => v <= 15),
  };
  console.log(JSON.stringify({ ...result, met, table }));
} finally {
  for (const c of children) c.end();
  wireProcess.stdin.end();
  await libvirtd.stop();
  rmSync(temp, { recursive: true, force: true });
}
