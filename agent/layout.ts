import { join } from 'node:path';

/** Every path this agent makes, in one place: what is here is what expunging a VM has to remove. */
export interface Layout {
  readonly identityFile: string;
  readonly journalDirectory: string;
  readonly outboxFile: string;
  readonly accelerator: string;
  /** Serial logs and what else belongs to one VM on this host. */
  vmDirectory(vmId: string): string;
  serialLog(vmId: string): string;
}

export function createLayout(dataDir: string): Layout {
  const vmDirectory = (vmId: string): string => join(dataDir, 'vms', vmId);
  return {
    identityFile: join(dataDir, 'identity', 'identity.json'),
    journalDirectory: join(dataDir, 'journal'),
    outboxFile: join(dataDir, 'outbox', 'events.jsonl'),
    accelerator: join(dataDir, 'accelerator.json'),
    vmDirectory,
    serialLog: (vmId) => join(vmDirectory(vmId), 'serial.log'),
  };
}

/**
 * Files in a pool's directory. Ids have no hyphen after their first, so that the prefix of one VM is never the prefix of
 * another's. The seed lies beside the boot disk: where the disk can be read, the seed can.
 */
export function vmFilePrefix(vmId: string): string {
  return `ostler-${vmId}-`;
}
export function diskFile(pool: string, vmId: string, disk: string): string {
  return join(pool, `${vmFilePrefix(vmId)}${disk}.qcow2`);
}
export function seedFile(pool: string, vmId: string): string {
  // A dot is in no disk's name, so that no disk's file can be called this.
  return join(pool, `${vmFilePrefix(vmId)}seed.cidata.iso`);
}
export function imageFile(pool: string, image: string): string {
  return join(pool, `ostler-image-${image}`);
}
/** Of this host only: two hosts on a shared pool must not write into one partial file. */
export function imagePartialFile(pool: string, image: string, machineId: string): string {
  return join(pool, `.ostler-image-${image}.${machineId.slice(0, 12)}.partial`);
}
