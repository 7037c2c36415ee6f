import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Cluster } from './cluster.js';
import type { Daemon } from './daemon.js';
import type { OperationJson, VmJson } from './vm-view.js';

/** What is run through the kills: one VM's whole life, each a mutation that has several steps on both sides. */
export type Verb = 'create' | 'start' | 'stop' | 'delete';
export const LIFE: readonly Verb[] = ['create', 'start', 'stop', 'delete'];

export const argvOf = (verb: Verb, name: string): readonly string[] =>
  ({
    create: ['vm', 'create', name, '--image', 'guest', '--memory', '128MiB', '--no-start'],
    start: ['start', name],
    stop: ['stop', name, '--force', '--yes'],
    delete: ['vm', 'delete', name, '--expunge', '--force', '--yes'],
  })[verb];

/** Restarts a daemon whenever it ends, as a service manager would, each time with the next fault to die of. */
export function supervise(
  daemon: Daemon,
  nextFault: () => Readonly<Record<string, string>>,
): { readonly kills: () => number; stop(): Promise<void> } {
  let kills = 0;
  const state = { stopping: false };
  const run = (async () => {
    for (;;) {
      await daemon.start(nextFault());
      const { signal } = await daemon.ended();
      if (state.stopping) return;
      if (signal === 'SIGKILL') kills += 1;
      else throw new Error(`${daemon.name} ended by itself; see ${daemon.log}`);
    }
  })();
  run.catch(() => undefined);
  return {
    kills: () => kills,
    stop: async () => {
      state.stopping = true;
      await daemon.kill();
      await run;
    },
  };
}

/** Hits count only while this file is there: what a daemon's start hits is not what the test is about. */
export const gateOf = (cluster: Cluster): string => join(cluster.directory, 'fault-gate');

/** The names of the points that each verb of one life hits, in order. The daemon is left stopped. */
export async function tracePoints(cluster: Cluster, daemon: Daemon, name: string): Promise<Record<Verb, string[]>> {
  const trace = join(cluster.directory, `${daemon.name.replace(' ', '-')}.trace`);
  const points: Record<Verb, string[]> = { create: [], start: [], stop: [], delete: [] };
  await daemon.stop();
  await daemon.start({ OSTLER_FAULT_TRACE: trace, OSTLER_FAULT_GATE: gateOf(cluster) });
  await cluster.online('h1');
  for (const verb of LIFE) {
    await rm(trace, { force: true });
    await writeFile(gateOf(cluster), '');
    const result = await cluster.ostler(argvOf(verb, name));
    await rm(gateOf(cluster));
    if (result.code !== 0) throw new Error(`${verb}: ${result.stderr}`);
    points[verb] = (await readFile(trace, 'utf8').catch(() => '')).split('\n').filter((line) => line !== '');
  }
  await daemon.stop();
  return points;
}

/** Waits until no operation is at work, and says how they ended. */
export async function settled(cluster: Cluster, seconds = 60): Promise<OperationJson[]> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const result = await cluster.ostler(['op', 'list', '-o', 'json']);
    if (result.code === 0) {
      const operations = JSON.parse(result.stdout) as OperationJson[];
      if (operations.every((one) => ['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(one.state))) return operations;
    }
    if (performance.now() > end) throw new Error(`operations do not settle: ${result.stdout}${result.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
}

/** Nothing may be there that no VM accounts for, and nothing may be missing. Returns what is wrong, as sentences. */
export async function orphans(cluster: Cluster): Promise<string[]> {
  const vms = await cluster.json<VmJson[]>(['vm', 'list']);
  const ids = new Set(vms.map((vm) => vm.id));
  const wrong: string[] = [];
  const domains = await cluster.domains('h1');
  for (const domain of domains) if (!ids.has(domain)) wrong.push(`orphan domain ${domain}`);
  for (const vm of vms) if (!domains.includes(vm.id)) wrong.push(`${vm.name} (${vm.state}) has no domain`);
  for (const file of await cluster.poolFiles('h1')) {
    const known = [...ids].some((id) => file.includes(id)) || file.includes('image');
    if (!known) wrong.push(`orphan file ${file}`);
    if (/\.(part|tmp|new)/.test(file)) wrong.push(`half-made file ${file}`);
  }
  return wrong;
}
