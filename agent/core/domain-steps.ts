/** The vocabulary of a change: what is done, when, and how it reads. Executors are an exhaustive map over `kind`. */
import type { Disk, DiskLimits, Nic } from '../../proto/model/vm.js';
import type { DiskTarget } from './disk-target.js';
import type { MemoryFacts } from './domain-facts.js';
import type { Refusal } from './refusal.js';

export type StepAction =
  /** A volume for a disk that has none yet. */
  | { readonly kind: 'volume-make'; readonly disk: Disk }
  | { readonly kind: 'scsi-attach' }
  | { readonly kind: 'disk-attach'; readonly disk: Disk; readonly target: DiskTarget }
  | { readonly kind: 'nic-attach'; readonly nic: Nic }
  | { readonly kind: 'disk-limit'; readonly disk: Disk; readonly dev: string; readonly limits: DiskLimits }
  | { readonly kind: 'medium'; readonly disk: Disk; readonly dev: string; readonly before: string }
  | { readonly kind: 'disk-detach'; readonly disk: Disk; readonly dev: string; readonly alias: string }
  | { readonly kind: 'nic-detach'; readonly nic: Nic; readonly alias: string }
  /** `dev` is empty while the domain is off. */
  | { readonly kind: 'disk-grow'; readonly disk: Disk; readonly dev: string; readonly fromBytes: number }
  | {
      readonly kind: 'memory';
      readonly fromBytes: number;
      readonly toBytes: number;
      readonly how: MemoryWay;
    }
  | { readonly kind: 'vcpus'; readonly from: number; readonly to: number }
  /** What becomes of the volume of a disk that is gone. */
  | { readonly kind: 'volume-release'; readonly disk: Disk; readonly remove: boolean }
  /** Nothing to do but to write it down. `what` is a whole clause: `it has 2 vCPUs`. */
  | { readonly kind: 'write-down'; readonly what: string };

export type MemoryWay =
  | { readonly by: 'attach'; readonly model: 'virtio-mem'; readonly sizeBytes: number; readonly requestedBytes: number }
  | { readonly by: 'attach'; readonly model: 'dimm'; readonly sizeBytes: number }
  | { readonly by: 'resize'; readonly device: MemoryFacts; readonly requestedBytes: number };

export type StepKind = StepAction['kind'];

export type Step = StepAction & {
  readonly when: 'now' | 'next-start';
  /** In the API's spelling: `spec.disks`. */
  readonly field: string;
};

export type DomainPlan =
  | { readonly ok: true; readonly steps: readonly Step[] }
  | { readonly ok: false; readonly refusals: readonly Refusal[] };

/** `Now: plug the disk data1 (4 GiB, virtio) in.` */
export function describeStep(step: Step): string {
  const clause = clauseOf(step);
  return step.when === 'now' ? `Now: ${clause}.` : `At the next start: ${clause}.`;
}

function clauseOf(step: StepAction): string {
  switch (step.kind) {
    case 'volume-make':
      return `make a volume of ${sizeOf(step.disk.sizeBytes)} for the disk ${step.disk.name}`;
    case 'scsi-attach':
      return 'plug a SCSI controller in';
    case 'disk-attach':
      return `plug the disk ${step.disk.name} in (${step.disk.bus}, ${step.target.dev} on the host's side)`;
    case 'nic-attach':
      return `plug the NIC ${step.nic.name} in (${step.nic.mac}${step.nic.bridge === '' ? '' : ` on ${step.nic.bridge}`})`;
    case 'disk-limit':
      return `limit the disk ${step.disk.name} to ${limitsText(step.limits)}`;
    case 'medium':
      return step.disk.image === ''
        ? `take the medium out of the drive ${step.disk.name}`
        : `put ${step.disk.image} into the drive ${step.disk.name}`;
    case 'disk-detach':
      return `take the disk ${step.disk.name} out, once the guest has let it go`;
    case 'nic-detach':
      return `take the NIC ${step.nic.name} out, once the guest has let it go`;
    case 'disk-grow':
      return `grow the disk ${step.disk.name} from ${sizeOf(step.fromBytes)} to ${sizeOf(step.disk.sizeBytes)}`;
    case 'memory':
      return `grow memory from ${sizeOf(step.fromBytes)} to ${sizeOf(step.toBytes)} by ${memoryWay(step.how)}`;
    case 'vcpus':
      return `plug ${step.to - step.from} vCPU${step.to - step.from === 1 ? '' : 's'} in, ${step.from} → ${step.to}`;
    case 'volume-release':
      return step.remove
        ? `remove the volume of the disk ${step.disk.name} with what is on it`
        : `keep the volume of the disk ${step.disk.name} in its pool`;
    case 'write-down':
      return step.what;
  }
}

function memoryWay(how: MemoryWay): string {
  return how.by === 'attach' && how.model === 'dimm' ? 'a DIMM' : 'virtio-mem';
}

function limitsText(limits: DiskLimits): string {
  const parts = [
    limits.readBytesPerSecond === 0 ? '' : `${sizeOf(limits.readBytesPerSecond)}/s read`,
    limits.writeBytesPerSecond === 0 ? '' : `${sizeOf(limits.writeBytesPerSecond)}/s written`,
    limits.readIops === 0 ? '' : `${limits.readIops} reads/s`,
    limits.writeIops === 0 ? '' : `${limits.writeIops} writes/s`,
  ].filter((part) => part !== '');
  return parts.length === 0 ? 'nothing' : parts.join(', ');
}

const UNITS = ['B', 'KiB', 'MiB', 'GiB', 'TiB'] as const;

/** Exact: the largest unit of which it is a whole number. */
export function sizeOf(bytes: number): string {
  let value = bytes;
  let unit = 0;
  while (value !== 0 && value % 1024 === 0 && unit < UNITS.length - 1) {
    value /= 1024;
    unit += 1;
  }
  return `${value} ${UNITS[unit] ?? 'B'}`;
}
