import { credentials, Metadata } from '@grpc/grpc-js';
import { readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createClient, type TypedClient } from '../../proto/client.js';
import { ostler } from '../../proto/gen/ostler.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { hostService, operationService, vmService } from '../../proto/services.js';
import type { Cluster } from './cluster.js';
import type { Daemon } from './daemon.js';
import { eventually } from './eventually.js';

const { HostState, OperationState, TimeoutAction, VmState } = ostler.v1;

/** What is run through the kills: one VM's whole life, each verb a mutation that has several steps on both sides. */
export type Verb = 'create' | 'start' | 'stop' | 'delete';
export const LIFE: readonly Verb[] = ['create', 'start', 'stop', 'delete'];
/** `ask`: a guest that is still booting is asked for a second, then the plug is pulled, so that a stop takes every step. */
export type StopMode = 'force' | 'ask';

/** One place to die: the nth time that the named point is passed while the verb is at work. */
export interface Kill {
  readonly verb: Verb;
  readonly point: string;
  readonly nth: number;
}

export interface KillRig {
  readonly cluster: Cluster;
  readonly vms: TypedClient<typeof vmService.methods>;
  readonly operations: TypedClient<typeof operationService.methods>;
  readonly hosts: TypedClient<typeof hostService.methods>;
  /** Operations that the controller had acknowledged: none may ever be lost. */
  readonly acknowledged: Set<string>;
  close(): void;
}

/** Clients that find a controller again as soon as it is back. */
export function openKillRig(cluster: Cluster): KillRig {
  const metadata = new Metadata();
  metadata.set('authorization', `Bearer ${cluster.token}`);
  const options = {
    address: cluster.apiAddress,
    credentials: credentials.createSsl(cluster.caPem),
    metadata,
    channel: { 'grpc.initial_reconnect_backoff_ms': 50, 'grpc.max_reconnect_backoff_ms': 150 },
  };
  const vms = createClient(vmService, options);
  const operations = createClient(operationService, options);
  const hosts = createClient(hostService, options);
  const close = (): void => [vms, operations, hosts].forEach((client) => client.close());
  return { cluster, vms, operations, hosts, acknowledged: new Set(), close };
}

/** What goes wrong while a daemon is away (or is just back: no host has linked up yet); anything else is an answer. */
const AWAY = new Set(['HOST_UNREACHABLE', 'NO_CAPACITY', 'TIMEOUT', 'CANCELLED', 'INTERNAL']);

/** Repeats a call for as long as nobody answers it. @throws OstlerError that is an answer, or the last one after 60 s */
export async function insist<T>(call: () => Promise<T>): Promise<T> {
  const end = performance.now() + 60_000;
  for (;;) {
    try {
      return await call();
    } catch (error) {
      const away = error instanceof OstlerError && AWAY.has(error.code);
      if (!away || performance.now() > end) throw error;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
}

const SPEC = {
  memory: { sizeBytes: 128 * 1024 * 1024 },
  disks: [{ name: 'root', image: 'guest' }],
  nics: [{ name: 'nic0' }],
  cloudInit: { enabled: true, user: 'admin' },
};
const STOPS = {
  force: { force: true },
  ask: { timeoutSeconds: 1, onTimeout: TimeoutAction.FORCE_OFF },
};

/** One verb, asked for until it is taken (always with the same request id), and awaited. Returns the finished operation. */
export async function runVerb(rig: KillRig, verb: Verb, name: string, stop: StopMode): Promise<ostler.v1.Operation> {
  const { vms, operations } = rig;
  const requestId = `${name}-${verb}`;
  const asked = await insist<ostler.v1.Operation>(() => {
    const timeout = { timeoutMs: 10_000 };
    switch (verb) {
      case 'create':
        return vms.createVm({ name, spec: SPEC, start: false, requestId }, timeout);
      case 'start':
        return vms.startVm({ vm: name, requestId }, timeout);
      case 'stop':
        return vms.stopVm({ vm: name, requestId, ...STOPS[stop] }, timeout);
      case 'delete':
        return vms.deleteVm({ vm: name, expunge: true, force: true, requestId }, timeout);
    }
  });
  rig.acknowledged.add(asked.id);
  return eventually(`${verb} of ${name} to end`, 90, async () => {
    const operation = await insist(() =>
      operations.waitOperation({ operation: asked.id, timeoutMs: 5000 }, { timeoutMs: 8000 }),
    );
    if (operation.endTime === null) throw new Error(`${operation.detail} (${operation.percent} %)`);
    return operation;
  });
}

/** What must be true of host and record when a verb is over. Returns what is wrong, as sentences. */
export async function verify(rig: KillRig, verb: Verb, operation: ostler.v1.Operation): Promise<string[]> {
  const { cluster } = rig;
  const wrong: string[] = [];
  // Nothing here has a reason to fail: whatever was killed, it must be carried to its end.
  if (operation.state !== OperationState.SUCCEEDED)
    wrong.push(`the operation is ${OperationState[operation.state]}: ${operation.error?.message ?? ''}`);
  await hostOnline(rig);
  const mismatch = await stateMismatch(rig, verb, operation);
  if (mismatch !== undefined) wrong.push(mismatch);
  const id = operation.target;
  const { stdout } = await cluster.lab.exec('h1', ['virsh', '-q', 'list', '--all']);
  const domains = stdout.split('\n').flatMap((line) => {
    const [, domain, state] = /^\s*\S+\s+(\S+)\s+(.+?)\s*$/.exec(line) ?? [];
    return domain === undefined ? [] : [`${domain} ${state ?? ''}`];
  });
  const expected = verb === 'delete' ? [] : [`${id} ${verb === 'start' ? 'running' : 'shut off'}`];
  if (domains.join() !== expected.join()) wrong.push(`domains: "${domains.join()}", not "${expected.join()}"`);
  wrong.push(...(await wrongFiles(rig, verb, id)), ...(await wrongOperations(rig, id, LIFE.indexOf(verb) + 1)));
  return wrong;
}

export function hostOnline({ hosts }: KillRig): Promise<void> {
  return eventually('the host to be online', 40, async () => {
    const { state } = await insist(() => hosts.getHost({ host: 'h1' }));
    if (state !== HostState.ONLINE) throw new Error(HostState[state]);
  });
}

/** The record follows the host's report at once, but reports need a link: hence the patience. */
async function stateMismatch(rig: KillRig, verb: Verb, { target }: ostler.v1.Operation): Promise<string | undefined> {
  const state = { create: VmState.CREATED, start: VmState.RUNNING, stop: VmState.STOPPED, delete: undefined }[verb];
  try {
    await eventually('the state', 15, async () => {
      const vm = await insist(() => rig.vms.getVm({ vm: target })).catch((error: unknown) => {
        if (error instanceof OstlerError && error.code === 'NOT_FOUND') return undefined;
        throw error;
      });
      const seen = vm?.state === VmState.EXPUNGED ? undefined : vm?.state;
      if (seen !== state) throw new Error(`the VM is ${seen === undefined ? 'gone' : VmState[seen]}`);
    });
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

/** Exactly the VM's own files, whole, and nothing else: neither an orphan nor a loss. */
async function wrongFiles({ cluster }: KillRig, verb: Verb, id: string): Promise<string[]> {
  const wrong: string[] = [];
  const list = async (directory: string): Promise<string[]> =>
    readdir(await cluster.lab.path('h1', directory)).catch(() => []);
  const own = verb === 'delete' ? [] : [`ostler-${id}-root.qcow2`, `ostler-${id}-seed.iso`];
  const pool = await list('/var/lib/libvirt/images');
  for (const file of own) if (!pool.includes(file)) wrong.push(`${file} is lost`);
  // The image may stay, the pool's mark, too.
  const others = pool.filter(
    (file) => !own.includes(file) && !/^ostler-image-[^.]+\.qcow2$|^\.ostler-pool-id$/.test(file),
  );
  if (others.length > 0) wrong.push(`orphan files: ${others.join()}`);
  const directories = await list('/var/lib/libvirt/ostler-agent/vms');
  if (directories.join() !== (verb === 'delete' ? '' : id)) wrong.push(`directories: ${directories.join()}`);
  return wrong;
}

/** One operation for each request, however often it was repeated. */
async function wrongOperations({ operations }: KillRig, id: string, expected: number): Promise<string[]> {
  const { operations: all } = await insist(() => operations.listOperations({ filter: `target=${id}` }));
  const kinds = all.map((one) => one.kind).join();
  return all.length === expected ? [] : [`${all.length} operations for ${expected} requests: ${kinds}`];
}

/** Hits count only while the verb's file is there: what a start of the daemon hits is not what the test is about. */
const gateOf = (cluster: Cluster, verb: Verb): string => join(cluster.directory, `gate-${verb}`);

/** Runs one life undisturbed and returns every point that each verb passes, each time it passes it. */
export async function tracePoints(rig: KillRig, daemon: Daemon, name: string, stop: StopMode): Promise<Kill[]> {
  const { cluster } = rig;
  const trace = join(cluster.directory, 'trace');
  const kills: Kill[] = [];
  await daemon.stop();
  await daemon.start({ OSTLER_FAULT_TRACE: trace, OSTLER_FAULT_GATE: gateOf(cluster, 'create') });
  await hostOnline(rig);
  for (const verb of LIFE) {
    await rm(trace, { force: true });
    await writeFile(gateOf(cluster, 'create'), '');
    await runVerb(rig, verb, name, stop);
    const names = await quietTrace(trace);
    await rm(gateOf(cluster, 'create'));
    const hits = new Map<string, number>();
    for (const point of names) {
      const nth = (hits.get(point) ?? 0) + 1;
      hits.set(point, nth);
      kills.push({ verb, point, nth });
    }
  }
  await daemon.stop();
  await daemon.start();
  await hostOnline(rig);
  return kills;
}

/** What is written down after the operation (events, acknowledgements) belongs to it, too. */
async function quietTrace(trace: string): Promise<string[]> {
  let before = -1;
  for (;;) {
    const text = await readFile(trace, 'utf8').catch(() => '');
    if (text.length === before) return text.split('\n').filter((line) => line !== '');
    before = text.length;
    await new Promise((resolve) => setTimeout(resolve, 400));
  }
}

export const gateEnv = (cluster: Cluster, verb: Verb): Record<string, string> => ({
  OSTLER_FAULT_GATE: gateOf(cluster, verb),
});

/** The environment that makes a daemon die there. */
export function faultOf(cluster: Cluster, kill: Kill): Record<string, string> {
  return { OSTLER_FAULT_KILL: `${kill.point}#${kill.nth}`, ...gateEnv(cluster, kill.verb) };
}

export async function openGate(cluster: Cluster, verb: Verb): Promise<() => Promise<void>> {
  const gate = gateOf(cluster, verb);
  await writeFile(gate, '');
  return () => rm(gate, { force: true });
}

/** Restarts a daemon whenever it dies, as a service manager would, each time with the next place to die at. */
export interface Supervised {
  readonly kills: number;
  /** Resolves true as soon as there have been so many kills, false after `ms`. */
  killed(count: number, ms: number): Promise<boolean>;
  /** Ends it for good (a kill that does not count). @throws Error when it ended by itself */
  stop(): Promise<void>;
}

export function supervise(daemon: Daemon, next: () => Readonly<Record<string, string>>): Supervised {
  const state = { kills: 0, stopping: false };
  const run = (async () => {
    for (;;) {
      await daemon.start(next());
      const { code, signal } = await daemon.ended();
      if (state.stopping) return;
      if (signal !== 'SIGKILL')
        throw new Error(`${daemon.name} ended by itself (${code ?? signal ?? ''}); see ${daemon.log}`);
      state.kills += 1;
    }
  })();
  run.catch(() => undefined);
  return {
    get kills() {
      return state.kills;
    },
    killed: async (count, ms) => {
      const end = performance.now() + ms;
      while (state.kills < count && performance.now() < end) await new Promise((resolve) => setTimeout(resolve, 20));
      return state.kills >= count;
    },
    stop: async () => {
      state.stopping = true;
      await daemon.kill();
      await run;
    },
  };
}
