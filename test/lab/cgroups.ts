import { readdir, mkdir, readFile, rmdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { signal } from './processes.js';

const ROOT = '/sys/fs/cgroup';
const HIERARCHIES = ['cpu', 'cpuacct', 'cpuset', 'memory', 'devices', 'freezer', 'blkio', 'pids'];

async function hierarchies(): Promise<string[]> {
  const found = HIERARCHIES.map(async (name) => ((await exists(join(ROOT, name, 'cgroup.procs'))) ? [name] : []));
  return (await Promise.all(found)).flat();
}

function exists(path: string): Promise<boolean> {
  return stat(path).then(Boolean, () => false);
}

/**
 * Gives a host its own part of each version 1 hierarchy.
 * @returns false where the machine has none (version 2 only): the host then does without
 */
export async function makeCgroups(name: string): Promise<boolean> {
  const names = await hierarchies();
  for (const hierarchy of names) {
    const directory = join(ROOT, hierarchy, name);
    await mkdir(directory, { recursive: true });
    if (hierarchy !== 'cpuset') continue;
    // An empty set of processors lets no process in.
    for (const file of ['cpuset.cpus', 'cpuset.mems']) {
      await writeFile(join(directory, file), await readFile(join(ROOT, hierarchy, file)));
    }
  }
  return names.includes('cpu') && names.includes('memory');
}

/** Removes a host's cgroups, and kills what is still in them. */
export async function removeCgroups(name: string): Promise<void> {
  for (const hierarchy of await hierarchies()) {
    const directory = join(ROOT, hierarchy, name);
    if (await exists(directory)) await removeTree(directory);
  }
}

/** A cgroup stays busy for a moment after its last process is gone. Somebody else may be removing the same one. */
async function removeTree(directory: string): Promise<void> {
  for (const entry of await readdir(directory, { withFileTypes: true }).catch(() => [])) {
    if (entry.isDirectory()) await removeTree(join(directory, entry.name));
  }
  for (let attempt = 0; ; attempt++) {
    const procs = await readFile(join(directory, 'cgroup.procs'), 'utf8').catch(() => '');
    for (const pid of procs.split('\n').filter((line) => line !== '')) signal(Number(pid), 'SIGKILL');
    try {
      await rmdir(directory);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'ENOENT') return;
      if (attempt === 100) throw error;
      await sleep(20);
    }
  }
}
