import { readFileSync, readdirSync, readlinkSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Owner } from './layout.js';

type Maybe<T> = T | false | undefined;

/** Waits until `check` gives something other than undefined or false. @throws Error naming `what` after `seconds` */
export async function until<T>(what: string, seconds: number, check: () => Maybe<T> | Promise<Maybe<T>>): Promise<T> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const result = await check();
    if (result !== undefined && result !== false) return result;
    if (performance.now() > end) throw new Error(`${what}: not within ${seconds.toString()} s`);
    await sleep(5);
  }
}

interface Stat {
  readonly parent: number;
  readonly state: string;
  readonly started: number;
}

/** Fields of /proc/PID/stat (proc(5)); undefined when there is no such process. */
export function processStat(pid: number): Stat | undefined {
  try {
    const text = readFileSync(`/proc/${pid.toString()}/stat`, 'utf8');
    const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
    return { state: fields[0] ?? '', parent: Number(fields[1]), started: Number(fields[19]) };
  } catch {
    return undefined;
  }
}

/** @returns this process, as the owner of a lab */
export function self(): Owner {
  return { pid: process.pid, started: processStat(process.pid)?.started ?? 0 };
}

/** Whether that very process still lives. */
export function alive(owner: Owner): boolean {
  const stat = processStat(owner.pid);
  return stat !== undefined && stat.state !== 'Z' && stat.started === owner.started;
}

export function pids(): number[] {
  return readdirSync('/proc').map(Number).filter(Number.isInteger);
}

/** @returns the first child of a process */
export function childOf(pid: number): number | undefined {
  return pids().find((candidate) => processStat(candidate)?.parent === pid);
}

/** @returns what identifies a namespace of a process, "net:[4026531840]"; undefined when the process is gone or going */
export function namespaceOf(pid: number, kind: 'net' | 'mnt' | 'pid'): string | undefined {
  try {
    return readlinkSync(`/proc/${pid.toString()}/ns/${kind}`);
  } catch {
    return undefined;
  }
}

/** @returns the number in a pid file whose process still lives; a zombie does not */
export async function pidIn(file: string): Promise<number | undefined> {
  const pid = Number(await readFile(file, 'utf8').catch(() => ''));
  const stat = pid > 0 ? processStat(pid) : undefined;
  return stat === undefined || stat.state === 'Z' ? undefined : pid;
}

/** Sends a signal; a process that is gone already is no error. */
export function signal(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Kills and waits: the entry of a namespace's PID 1 vanishes from /proc only when every process in it is dead. */
export async function end(pid: number): Promise<void> {
  signal(pid, 'SIGKILL');
  await until(`death of process ${pid.toString()}`, 20, () => {
    const stat = processStat(pid);
    return stat === undefined || stat.state === 'Z';
  });
}
