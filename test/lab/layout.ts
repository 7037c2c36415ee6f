import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Where scripts of the lab lie: this file runs from dist/test/lab/. */
export const FILES = fileURLToPath(new URL('../../../test/lab/files/', import.meta.url));

/** Addresses inside a lab; every lab has its own network namespaces, so all labs use the same. */
export const FABRIC_ADDRESS = '10.77.0.254';
const MANAGEMENT = '10.77.0';

/** Parent of all labs. On a disk, not in /run: guests' disks lie here and QEMU wants O_DIRECT. */
export function baseDirectory(): string {
  return process.env['OSTLER_LAB_DIR'] ?? '/var/tmp/ostler-lab';
}

/** What identifies a process for as long as it lives: its number may be used again, not with the same start. */
export interface Owner {
  readonly pid: number;
  /** Clock ticks since the machine's boot. */
  readonly started: number;
}

/** A lab as it stands on disk, in lab.json. */
export interface LabRecord {
  readonly id: string;
  /** Absent: the lab outlives its maker, until somebody takes it down. */
  readonly owner?: Owner;
  readonly hosts: readonly string[];
}

/** The files and names of one host. */
export interface HostPaths {
  readonly name: string;
  /** 1, 2, …: the last byte of its management address. */
  readonly number: number;
  readonly directory: string;
  readonly address: string;
  readonly cgroup: string;
  /** Process id of the host's PID 1 as seen from the machine. */
  readonly initPid: string;
  readonly storagePid: string;
  /** Ends of its two cables in the fabric: management, and the guests' network. */
  readonly cables: readonly [string, string];
}

/** @throws Error when the name is not h1, h2, … */
export function hostPaths(lab: string, id: string, name: string): HostPaths {
  const number = Number(/^h([1-9]\d?)$/.exec(name)?.[1]);
  if (Number.isNaN(number)) throw new Error(`a lab has hosts h1, h2, …, not ${name}`);
  const directory = join(lab, name);
  return {
    name,
    number,
    directory,
    address: `${MANAGEMENT}.${number.toString()}`,
    cgroup: `ostler-lab-${id}-${name}`,
    initPid: join(directory, 'init.pid'),
    storagePid: join(directory, 'storage.pid'),
    cables: [`${name}m`, `${name}v`],
  };
}
