import { randomBytes } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Output } from '../guest/run.js';
import { enter, execute, type LabProcess, type Place, type RunOptions, type SpawnOptions } from './enter.js';
import { cableUp, fabricPlace, setCable, startFabric, stopFabric } from './fabric.js';
import { forward, type Forward } from './forward.js';
import { forgetHost, hostPlace, killHost, libvirtd, startHost, stopProcesses } from './host.js';
import { baseDirectory, FABRIC_ADDRESS, hostPaths, type HostPaths, type LabRecord } from './layout.js';
import { alive, end, namespaceOf, pids, self } from './processes.js';
import { cutStorage, healStorage, storageState, type StorageFault } from './storage.js';

export type { LabProcess, RunOptions, SpawnOptions, Forward, StorageFault };

export interface LabOptions {
  readonly hosts: number;
  /** Names the lab; made up when left out. */
  readonly id?: string;
  /** Whether the lab outlives this process; else the next `up` of anybody clears what a dead owner left. */
  readonly keep?: boolean;
  /** Memory that the hosts seem to have, in MiB: one figure for all, or one for each. */
  readonly memoryMib?: number | readonly number[];
}

export interface HostStatus {
  readonly name: string;
  readonly up: boolean;
  readonly link: 'ok' | 'cut';
  readonly storage: 'ok' | StorageFault;
}

/** Several hypervisor hosts on this machine. Places are "fabric" (controllers run there) and the hosts h1, h2, … */
export interface Lab {
  readonly id: string;
  readonly directory: string;
  readonly hosts: readonly string[];
  /** The directory that all hosts see as /shared. */
  readonly shared: string;
  /** @returns a place's address on the management network */
  address(place: string): string;
  /** @returns the way to a path of a running host from outside; works for sockets */
  path(host: string, absolute: string): Promise<string>;
  /** Runs a program to its end. @throws Error with its exit code and stderr */
  exec(place: string, argv: readonly string[], options?: RunOptions): Promise<Output>;
  spawn(place: string, argv: readonly string[], options?: SpawnOptions): Promise<LabProcess>;
  /** Makes a TCP port of a place reachable from here. */
  forward(place: string, port: number): Promise<Forward>;
  /** Power cut: from outside the host is silent at once. */
  kill(host: string): Promise<void>;
  start(host: string): Promise<void>;
  /** link: the management cable; guests: the guests' cable; storage: /shared (see StorageFault, "hang" when left out). */
  cut(host: string, what: 'link' | 'guests' | 'storage', fault?: StorageFault): Promise<void>;
  /** Undoes every cut of the host. */
  heal(host: string): Promise<void>;
  freeze(host: string): Promise<void>;
  thaw(host: string): Promise<void>;
  libvirtd(host: string, what: 'stop' | 'start' | 'kill'): Promise<void>;
  status(): Promise<HostStatus[]>;
  /** Ends every process of the lab and removes everything. */
  down(): Promise<void>;
}

/** Clears what dead owners left, then boots a lab. @throws Error with what the hosts said when one does not come up */
async function up(options: LabOptions): Promise<Lab> {
  if (process.getuid?.() !== 0) throw new Error('a lab makes namespaces and mounts: it needs root');
  await sweep();
  const id = options.id ?? randomBytes(4).toString('hex');
  const directory = join(baseDirectory(), id);
  await mkdir(directory, { recursive: true });
  const hosts = Array.from({ length: options.hosts }, (_, index) => `h${(index + 1).toString()}`);
  const record: LabRecord = { id, hosts, ...(options.keep === true ? {} : { owner: self() }) };
  const file = join(directory, 'lab.json');
  if ((await readRecord(directory)) !== undefined) throw new Error(`the lab ${id} is up already`);
  await writeFile(`${file}.new`, JSON.stringify(record));
  await rename(`${file}.new`, file);
  const lab = open(record);
  try {
    await mkdir(lab.shared, { recursive: true });
    await startFabric(directory);
    for (const [index, host] of hosts.entries()) {
      const mib = typeof options.memoryMib === 'number' ? options.memoryMib : options.memoryMib?.[index];
      await mkdir(join(directory, host), { recursive: true });
      if (mib !== undefined) await writeFile(join(directory, host, 'memory-mib'), mib.toString());
    }
    await Promise.all(hosts.map((host) => lab.start(host)));
  } catch (error) {
    const logs = await Promise.all(
      hosts.map((host) => readFile(join(directory, host, 'init.log'), 'utf8').catch(() => '')),
    );
    await lab.down();
    throw new Error(`the lab did not come up: ${logs.join('').slice(-2000)}`, { cause: error });
  }
  return lab;
}

/** @returns a lab that somebody else brought up. @throws Error when there is none of that name */
async function attach(id: string): Promise<Lab> {
  const record = await readRecord(join(baseDirectory(), id));
  if (record === undefined) throw new Error(`there is no lab ${id}: scripts/lab up N`);
  return open(record);
}

/** Takes down the labs of processes that died without doing it. */
async function sweep(): Promise<void> {
  for (const name of await readdir(baseDirectory()).catch(() => [])) {
    const record = await readRecord(join(baseDirectory(), name));
    if (record?.owner !== undefined && !alive(record.owner)) await open(record).down();
  }
}

async function readRecord(directory: string): Promise<LabRecord | undefined> {
  const text = await readFile(join(directory, 'lab.json'), 'utf8').catch(() => undefined);
  return text === undefined ? undefined : (JSON.parse(text) as LabRecord);
}

function open(record: LabRecord): Lab {
  const { id, hosts } = record;
  const directory = join(baseDirectory(), id);
  const shared = join(directory, 'shared');
  const paths = (name: string): HostPaths => {
    if (!hosts.includes(name)) throw new Error(`the lab ${id} has no host ${name}, only ${hosts.join(', ')}`);
    return hostPaths(directory, id, name);
  };
  const place = async (name: string): Promise<Place> => {
    const found = name === 'fabric' ? await fabricPlace(directory) : await hostPlace(paths(name));
    if (found === undefined) throw new Error(`${name} is down`);
    return found;
  };
  const fabric = (): Promise<Place> => place('fabric');
  return {
    id,
    directory,
    hosts,
    shared,
    address: (name) => (name === 'fabric' ? FABRIC_ADDRESS : paths(name).address),
    path: async (host, absolute) => `/proc/${(await place(host)).pid.toString()}/root${absolute}`,
    exec: async (name, argv, options) => execute(await place(name), argv, options),
    spawn: async (name, argv, options) => enter(await place(name), argv, options),
    forward: async (name, port) => forward(await place(name), port),
    kill: async (host) => killHost(paths(host), await fabric()),
    start: async (host) => startHost(paths(host), await fabric(), shared),
    cut: async (host, what, fault = 'hang') => {
      const [management, guests] = paths(host).cables;
      if (what === 'storage') await cutStorage(paths(host), fault);
      else await setCable(await fabric(), what === 'link' ? management : guests, false);
    },
    heal: async (host) => {
      for (const cable of paths(host).cables) await setCable(await fabric(), cable, true);
      await healStorage(paths(host), (await place(host)).pid, shared);
    },
    freeze: async (host) => {
      stopProcesses((await place(host)).pid, 'freeze');
    },
    thaw: async (host) => {
      stopProcesses((await place(host)).pid, 'thaw');
    },
    libvirtd: async (host, what) => libvirtd(await place(host), what),
    status: async () => Promise.all(hosts.map((host) => hostStatus(paths(host), directory))),
    down: async () => {
      await takeDown(directory, hosts.map(paths));
    },
  };
}

async function hostStatus(host: HostPaths, directory: string): Promise<HostStatus> {
  const fabric = await fabricPlace(directory);
  const carrier = fabric !== undefined && (await cableUp(fabric, host.cables[0]).catch(() => false));
  return {
    name: host.name,
    up: (await hostPlace(host)) !== undefined,
    link: carrier ? 'ok' : 'cut',
    storage: await storageState(host),
  };
}

async function takeDown(directory: string, hosts: readonly HostPaths[]): Promise<void> {
  const fabric = await fabricPlace(directory);
  const namespaces = new Set<string>();
  for (const place of [fabric, ...(await Promise.all(hosts.map(hostPlace)))]) {
    const namespace = place === undefined ? undefined : namespaceOf(place.pid, 'net');
    if (namespace !== undefined) namespaces.add(namespace);
  }
  await Promise.all(hosts.map((host) => killHost(host, fabric)));
  // Programs started in the fabric, or in a host's network from outside, are no children of any PID 1.
  const strays = pids().filter((pid) => pid !== fabric?.pid && namespaces.has(namespaceOf(pid, 'net') ?? ''));
  await Promise.all(strays.map(end));
  await stopFabric(directory);
  for (const host of hosts) await forgetHost(host);
  await rm(directory, { recursive: true, force: true });
}

export const Lab = { up, attach, sweep };
