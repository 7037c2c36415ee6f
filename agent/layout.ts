import { join } from 'node:path';

/**
 * Where this agent keeps its own things. Files in pools are named by core/vm-files.ts: the seed lies beside the boot disk,
 * so that who can read the disk can read the seed.
 */
export interface Layout {
  readonly identityFile: string;
  readonly journalDirectory: string;
  readonly outboxFile: string;
  /** Serial logs and what else belongs to one VM on this host: expunging it removes the directory. */
  vmDirectory(vmId: string): string;
  serialLog(vmId: string): string;
}

export function createLayout(dataDir: string): Layout {
  const vmDirectory = (vmId: string): string => join(dataDir, 'vms', vmId);
  return {
    identityFile: join(dataDir, 'identity', 'identity.json'),
    journalDirectory: join(dataDir, 'journal'),
    outboxFile: join(dataDir, 'outbox', 'events.jsonl'),
    vmDirectory,
    serialLog: (vmId) => join(vmDirectory(vmId), 'serial.log'),
  };
}

/** Of this host only: two hosts on a shared pool must not write into one partial file. */
export function partialFile(path: string, machineId: string): string {
  const slash = path.lastIndexOf('/') + 1;
  return `${path.slice(0, slash)}.${path.slice(slash)}.${machineId.slice(0, 12)}.partial`;
}
