import { spawn } from 'node:child_process';
import { mkdir, open, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { makeCgroups, removeCgroups } from './cgroups.js';
import { execute, type Place } from './enter.js';
import { plug, setCable, unplug } from './fabric.js';
import { FILES, type HostPaths } from './layout.js';
import { libvirtdConf, qemuConf } from './libvirt-conf.js';
import { childOf, end, namespaceOf, pidIn, pids, processStat, signal, until } from './processes.js';
import { startStorage, stopStorage } from './storage.js';

/** @returns the running host as a place for programs; undefined when it is down */
export async function hostPlace(host: HostPaths): Promise<Place | undefined> {
  const pid = await pidIn(host.initPid);
  if (pid === undefined) return undefined;
  const inCgroup = await stat(join('/sys/fs/cgroup/cpu', host.cgroup)).then(Boolean, () => false);
  return { name: host.name, pid, whole: true, cgroup: inCgroup ? host.cgroup : '-' };
}

/** Boots a host: namespaces, cables, storage, libvirtd. What it had on its disk is still there. */
export async function startHost(host: HostPaths, fabric: Place, shared: string): Promise<void> {
  if ((await hostPlace(host)) !== undefined) throw new Error(`${host.name} is up already`);
  const cgroup = await firstTime(host);
  const ready = join(host.directory, 'ready');
  for (const file of [ready, host.initPid]) await rm(file, { force: true });
  const log = await open(join(host.directory, 'init.log'), 'a');
  const namespaces = ['--mount', '--net', '--uts', '--ipc', '--pid', ...(cgroup === '-' ? [] : ['--cgroup'])];
  const child = spawn(
    join(FILES, 'join.sh'),
    [
      ...[cgroup, 'unshare', ...namespaces, '--fork', '--', join(FILES, 'host-init.sh')],
      ...[host.directory, host.name, host.number.toString(), cgroup],
    ],
    { detached: true, stdio: ['pipe', log.fd, log.fd], cwd: '/' },
  );
  child.unref();
  const { stdin } = child;
  if (stdin === null) throw new Error('the host has no standard input');
  stdin.on('error', () => undefined); // it died before it read: told below
  await log.close();
  const failed = new Promise<never>((_, reject) => {
    child.once('error', reject);
    child.once('exit', () => {
      reject(new Error(`${host.name} did not start: see ${host.directory}/init.log`));
    });
  });
  failed.catch(() => undefined);
  try {
    await bootSteps(host, fabric, shared, { ready, failed, stdin });
  } catch (error) {
    const init = child.pid === undefined ? undefined : childOf(child.pid);
    if (init !== undefined) await end(init);
    throw error;
  }
}

interface Boot {
  /** The file that init makes when all is done. */
  readonly ready: string;
  readonly failed: Promise<never>;
  readonly stdin: Writable;
}

async function bootSteps(host: HostPaths, fabric: Place, shared: string, boot: Boot): Promise<void> {
  const { ready, failed, stdin } = boot;
  const step = <T>(work: Promise<T>): Promise<T> => Promise.race([failed, work]);
  const init = await step(until(`start of ${host.name}`, 10, () => pidIn(host.initPid)));
  await step(plug(fabric, host, init));
  await step(startStorage(host, init, shared, join(host.directory, 'shared')));
  stdin.end('go\n');
  await step(until(`libvirtd of ${host.name}`, 20, () => stat(ready).then(Boolean, () => false)));
}

async function firstTime(host: HostPaths): Promise<string> {
  const libvirt = join(host.directory, 'disk/etc/libvirt');
  const cgroup = (await makeCgroups(host.cgroup)) ? host.cgroup : '-';
  if (await stat(libvirt).then(Boolean, () => false)) return cgroup;
  await mkdir(libvirt, { recursive: true });
  await writeFile(join(libvirt, 'libvirtd.conf'), libvirtdConf(host.number));
  await writeFile(join(libvirt, 'qemu.conf'), qemuConf(host.address, cgroup !== '-'));
  return cgroup;
}

/** A power cut: first silence on the wire, so that no FIN or RST tells anybody, then nothing is left of the host. */
export async function killHost(host: HostPaths, fabric: Place | undefined): Promise<void> {
  const init = await pidIn(host.initPid);
  if (fabric !== undefined && init !== undefined) {
    for (const cable of host.cables) await setCable(fabric, cable, false).catch(() => undefined);
  }
  if (init !== undefined) signal(init, 'SIGKILL');
  // After PID 1, so that no guest sees its storage break; before the wait, because a hanging access ends with its server.
  await stopStorage(host);
  if (init !== undefined) await end(init);
  await rm(host.initPid, { force: true });
  if (fabric !== undefined) await unplug(fabric, host);
}

/** The host hangs: every process of it stops, except its PID 1; `thaw` lets it go on. */
export function stopProcesses(init: number, how: 'freeze' | 'thaw'): void {
  const namespace = namespaceOf(init, 'pid');
  const wrong = how === 'freeze' ? 'T' : '';
  const members = (): number[] =>
    pids().filter((pid) => pid !== init && namespaceOf(pid, 'pid') === namespace && processStat(pid)?.state !== wrong);
  // A second look finds what was born during the first.
  for (let look = 0; look < 3; look++) {
    for (const pid of members()) signal(pid, how === 'freeze' ? 'SIGSTOP' : 'SIGCONT');
  }
}

/** Stops (SIGTERM), kills or starts libvirtd on a host and waits until it is so. Guests run on. */
export async function libvirtd(place: Place, what: 'stop' | 'start' | 'kill'): Promise<void> {
  const inHost = (path: string): string => `/proc/${place.pid.toString()}/root${path}`;
  if (what === 'start') {
    await execute(place, ['libvirtd', '--daemon']);
    await until('libvirtd', 10, () => execute(place, ['virsh', '-q', 'uri']).then(Boolean, () => false));
    return;
  }
  const { stdout } = await execute(place, ['cat', '/run/libvirtd.pid']);
  await execute(place, ['kill', what === 'stop' ? '-TERM' : '-KILL', stdout.trim()]);
  await until('end of libvirtd', 10, () =>
    stat(inHost(`/proc/${stdout.trim()}`)).then(
      () => false,
      () => true,
    ),
  );
}

/** Removes what a dead host leaves on the machine, its directory excepted. */
export async function forgetHost(host: HostPaths): Promise<void> {
  await removeCgroups(host.cgroup);
}
