/**
 * One client of the benchmark, in a process of its own: ours, or the N-API binding with `--napi DIR`. Reads one task a
 * line from stdin, prints one result a line: calls, wall and CPU time, and the worst delay of a 1 ms timer, with and without the
 * time in which the thread could have run but another process had the CPU.
 */
import { openSync, readSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { join } from 'node:path';
import { performance } from 'node:perf_hooks';
import { pathToFileURL } from 'node:url';
import { connect, domainByName } from '../../agent/libvirt/index.js';

export interface Task {
  readonly op: 'info' | 'xml' | 'stats';
  readonly socket: string;
  readonly uri: string;
  readonly inflight: number;
  readonly seconds: number;
}
export interface Outcome {
  readonly calls: number;
  readonly wallMs: number;
  readonly cpuMs: number;
  readonly stallMs: number;
  /** The worst delay less the wait for a CPU in it. */
  readonly stallOwnMs: number;
}

interface Session {
  /** One call; a rejection ends the task. */
  readonly once: () => Promise<unknown>;
  readonly close: () => void | Promise<void>;
}

async function openOurs({ op, socket, uri }: Task): Promise<Session> {
  const lv = await connect({ uri, socket });
  const close = (): void => lv.close();
  if (op === 'stats') return { once: () => lv.allDomainStats({ stats: 0 }), close };
  const dom = await domainByName(lv, 'vm0');
  if (dom === null) throw new Error('no domain vm0');
  return { once: () => lv.call(op === 'info' ? 'domainGetInfo' : 'domainGetXMLDesc', { dom }), close };
}

interface NapiHypervisor {
  connectOpen(): Promise<void>;
  connectClose(): Promise<void>;
  domainLookupByName(name: string): Promise<unknown>;
  domainGetInfo(dom: unknown): Promise<unknown>;
  domainGetXMLDesc(dom: unknown): Promise<unknown>;
}

async function openNapi(dir: string, { op, socket, uri }: Task): Promise<Session> {
  if (op === 'stats') throw new Error('it has no bulk statistics');
  const path = pathToFileURL(join(dir, 'node_modules/@unraid/libvirt/dist/index.js')).href;
  const module = (await import(path)) as { Hypervisor: new (options: { uri: string }) => NapiHypervisor };
  const hypervisor = new module.Hypervisor({ uri: uri.replace('://', '+unix://') + `?socket=${socket}` });
  await hypervisor.connectOpen();
  const dom = await hypervisor.domainLookupByName('vm0');
  const once = () => (op === 'info' ? hypervisor.domainGetInfo(dom) : hypervisor.domainGetXMLDesc(dom));
  return { once, close: () => hypervisor.connectClose() };
}

const schedstat = openSync('/proc/self/schedstat', 'r');
const line = Buffer.alloc(128);
/** How long this thread has waited for a CPU in its life: the second figure, in ns (Documentation/scheduler/sched-stats.rst). */
function waitedMs(): number {
  return Number(line.toString('latin1', 0, readSync(schedstat, line, 0, line.length, 0)).split(' ')[1]) / 1e6;
}

async function run(task: Task, session: Session): Promise<Outcome> {
  const loop = async (until: number): Promise<number> => {
    let calls = 0;
    while (performance.now() < until) {
      await session.once();
      calls++;
    }
    return calls;
  };
  let last = performance.now();
  let lastWaited = waitedMs();
  let stallMs = 0;
  let stallOwnMs = 0;
  const timer = setInterval(() => {
    const waited = waitedMs();
    const now = performance.now();
    const delay = now - last - 1;
    stallMs = Math.max(stallMs, delay);
    stallOwnMs = Math.max(stallOwnMs, delay - (waited - lastWaited));
    last = now;
    lastWaited = waited;
  }, 1);
  const started = performance.now();
  const cpu = process.cpuUsage();
  const counts = await Promise.all(Array.from({ length: task.inflight }, () => loop(started + task.seconds * 1000)));
  const used = process.cpuUsage(cpu);
  const wallMs = performance.now() - started;
  clearInterval(timer);
  return {
    calls: counts.reduce((a, b) => a + b, 0),
    wallMs,
    cpuMs: (used.user + used.system) / 1000,
    stallMs,
    stallOwnMs,
  };
}

/** Sessions stay open from round to round. */
const sessions = new Map<string, Promise<Session>>();
const napi = process.argv[2] === '--napi' ? process.argv[3] : undefined;
for await (const request of createInterface({ input: process.stdin })) {
  const task = JSON.parse(request) as Task;
  try {
    const key = `${task.op} ${task.socket}`;
    const session = sessions.get(key) ?? (napi === undefined ? openOurs(task) : openNapi(napi, task));
    sessions.set(key, session);
    console.log(JSON.stringify(await run(task, await session)));
  } catch (e) {
    console.log(JSON.stringify({ error: e instanceof Error ? e.message : String(e) }));
  }
}
process.exit(0);
