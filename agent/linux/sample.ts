import { readFile } from 'node:fs/promises';
import type { HostSample } from '../host.js';

interface CpuTimes {
  readonly busy: number;
  readonly total: number;
}

/** user nice system idle iowait irq softirq steal …: proc(5). Guest time is part of user already. */
export function parseStat(text: string): CpuTimes {
  const first = text.slice(0, text.indexOf('\n'));
  const [user = 0, nice = 0, system = 0, idle = 0, wait = 0, irq = 0, soft = 0, steal = 0] = first
    .trim()
    .split(/\s+/)
    .slice(1)
    .map(Number);
  const busy = user + nice + system + irq + soft + steal;
  return { busy, total: busy + idle + wait };
}

/** Used = what cannot be had by a new process: total − available. */
export function parseMeminfo(text: string): { readonly totalBytes: number; readonly usedBytes: number } {
  const kib = (key: string): number => Number(new RegExp(`^${key}:\\s+(\\d+) kB`, 'm').exec(text)?.[1] ?? '0');
  const total = kib('MemTotal');
  return { totalBytes: total * 1024, usedBytes: (total - kib('MemAvailable')) * 1024 };
}

/** Each call gives the CPU share since the call before; the first since boot. */
export function createSampler(proc = '/proc'): () => Promise<HostSample> {
  let before: CpuTimes = { busy: 0, total: 0 };
  return async () => {
    const [stat, meminfo, load] = await Promise.all([
      readFile(`${proc}/stat`, 'utf8'),
      readFile(`${proc}/meminfo`, 'utf8'),
      readFile(`${proc}/loadavg`, 'utf8'),
    ]);
    const now = parseStat(stat);
    const elapsed = now.total - before.total;
    const cpuPercent = elapsed <= 0 ? 0 : ((now.busy - before.busy) * 100) / elapsed;
    before = now;
    return { cpuPercent, memoryUsedBytes: parseMeminfo(meminfo).usedBytes, load1: Number(load.split(' ')[0]) };
  };
}
