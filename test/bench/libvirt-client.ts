/**
 * One client of the benchmark, in a process of its own: ours, or the N-API binding with `--napi DIR`. Reads one task a
 * line from stdin, prints one result a line: calls, wall and CPU time, the worst delay of a 1 ms timer, and the most CPU time this
 * process used between two ticks of it: the part of the delay that is not another process's doing.
 */
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
  readonly stallCpuMs: number;
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
  let stallMs = 0;
  let lastCpu = process.cpuUsage();
  let stallCpuMs = 0;
  const timer = setInterval(() => {
    const now = performance.now();
    stallMs = Math.max(stallMs, now - last - 1);
    last = now;
    const used = process.cpuUsage(lastCpu);
    lastCpu = process.cpuUsage();
    stallCpuMs = Math.max(stallCpuMs, (used.user + used.system) / 1000);
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
    stallCpuMs,
  };
}

/** Sessions stay open from round to round. */
const sessions = new Map<string, Promise<Session>>();
const napi = process.argv[2] === '--napi' ? process.argv[3] : undefined;
for await (const line of createInterface({ input: process.stdin })) {
  const task = JSON.parse(line) as Task;
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
