/** Disks and CD-ROM drives: data disks come and go while the VM runs, the boot disk stays (C-114, C-115). */
import type { Disk } from '../../proto/model/vm.js';
import { diskSerial, freeDiskTarget } from './disk-target.js';
import { NO_LIMITS, sameLimits, type DiskFacts, type DomainFacts } from './domain-facts.js';
import type { PartPlan, PlanInput } from './domain-plan.js';
import { sizeOf, type Step } from './domain-steps.js';
import { refuse, STOP_FIRST, type Refusal } from './refusal.js';

const DISKS = 'spec.disks';

export function planDisks(input: PlanInput): PartPlan {
  const { previous, wanted, live } = input;
  const before = new Map(previous.spec.disks.map((disk) => [disk.name, disk]));
  const after = new Map(wanted.spec.disks.map((disk) => [disk.name, disk]));
  const steps: Step[] = [];
  const refusals: Refusal[] = [...bootDiskRefusals(previous.spec.disks, wanted.spec.disks)];
  // Targets of devices that are about to leave are not given out again.
  const taken = [...(live?.disks ?? [])];
  wanted.spec.disks.forEach((disk, index) => {
    const old = before.get(disk.name);
    const field = `${DISKS}[${index}]`;
    if (old !== undefined) refusals.push(...fixedRefusals(old, disk, field, live !== undefined));
    const present = live?.disks.find((one) => one.serial === diskSerial(disk.name));
    if (live === undefined) steps.push(...storedSteps(old, disk));
    else if (present === undefined) plug(disk, field, { isNew: old === undefined, live, taken, steps, refusals });
    else steps.push(...adjust(old, disk, present));
  });
  for (const disk of previous.spec.disks) if (!after.has(disk.name)) remove(disk, input, steps, refusals);
  return { steps, refusals };
}

/** C-103, C-115: delete the VM instead. */
function bootDiskRefusals(before: readonly Disk[], after: readonly Disk[]): Refusal[] {
  const boot = before[0]?.name;
  if (boot === undefined || after[0]?.name === boot) return [];
  const there = after.some((disk) => disk.name === boot);
  const message = there
    ? `The boot disk ${boot} stays the first disk.`
    : `The boot disk ${boot} cannot be removed; only data disks can.`;
  const remedy = there ? 'Use boot_order to boot from another disk.' : 'Delete the VM instead.';
  return [refuse('WRONG_STATE', `${DISKS}[0]`, message, remedy)];
}

/** What a disk is for ever, and what it is while it is in use. */
function fixedRefusals(old: Disk, disk: Disk, field: string, running: boolean): Refusal[] {
  const refusals: Refusal[] = [];
  const fixed = (name: string, message: string, remedy: string): number =>
    refusals.push(refuse('WRONG_STATE', `${field}.${name}`, message, remedy));
  const other = 'Add another disk and remove this one.';
  if (disk.device !== old.device) fixed('device', `${disk.name} is a ${old.device} and stays one.`, other);
  else if (disk.device === 'disk') {
    // C-095
    if (disk.image !== old.image) fixed('image', `The image of the disk ${disk.name} cannot be changed.`, other);
    if (disk.sizeBytes < old.sizeBytes) {
      const sizes = `${sizeOf(old.sizeBytes)}, ${sizeOf(disk.sizeBytes)} are asked for`;
      fixed('size_bytes', `A disk only grows: ${disk.name} has ${sizes}.`, 'Copy what is on it to a smaller disk.'); // C-117
    }
  }
  if (disk.pool !== old.pool) fixed('pool', `The disk ${disk.name} stays in its pool.`, other);
  if (disk.clone !== old.clone || disk.volume !== old.volume)
    fixed(disk.clone !== old.clone ? 'clone' : 'volume', `The volume of the disk ${disk.name} stays as it is.`, other);
  if (running && disk.bus !== old.bus)
    fixed('bus', `The bus of the disk ${disk.name} cannot be changed while the VM runs.`, STOP_FIRST);
  return refusals;
}

/** While it is off: volumes are made and grown now, the rest is for the next start. */
function storedSteps(old: Disk | undefined, disk: Disk): Step[] {
  const later = (what: string): Step => ({ kind: 'write-down', when: 'next-start', field: DISKS, what });
  if (old === undefined) {
    const made: Step[] = makesVolume(disk) ? [{ kind: 'volume-make', when: 'now', field: DISKS, disk }] : [];
    return [...made, later(`it has the ${disk.device} ${disk.name}`)];
  }
  const steps: Step[] = [];
  if (disk.device === 'disk' && disk.sizeBytes > old.sizeBytes)
    steps.push({ kind: 'disk-grow', when: 'now', field: DISKS, disk, dev: '', fromBytes: old.sizeBytes });
  if (disk.bus !== old.bus) steps.push(later(`the ${disk.device} ${disk.name} is on ${disk.bus}`));
  if (disk.device === 'cdrom' && disk.image !== old.image)
    steps.push(later(`the drive ${disk.name} ${disk.image === '' ? 'is empty' : `holds ${disk.image}`}`));
  if (!sameLimits(disk.limits ?? NO_LIMITS, old.limits ?? NO_LIMITS)) steps.push(later(`${disk.name} has new limits`));
  return steps;
}

function makesVolume(disk: Disk): boolean {
  return disk.device === 'disk' && disk.volume === undefined;
}

interface Plugging {
  readonly isNew: boolean;
  readonly live: DomainFacts;
  readonly taken: DiskFacts[];
  readonly steps: Step[];
  readonly refusals: Refusal[];
}

/** A disk of the record that the running domain does not have. */
function plug(disk: Disk, field: string, { isNew, live, taken, steps, refusals }: Plugging): void {
  if (disk.device === 'cdrom' || disk.bus === 'sata') {
    if (!isNew) {
      steps.push({
        kind: 'write-down',
        when: 'next-start',
        field: DISKS,
        what: `it has the ${disk.device} ${disk.name}`,
      });
      return;
    }
    const message =
      disk.device === 'cdrom'
        ? `A CD-ROM drive cannot be plugged into a running VM (${disk.name}).`
        : `SATA has no hotplug: the disk ${disk.name} cannot be added while the VM runs.`;
    const remedy = disk.device === 'cdrom' ? STOP_FIRST : 'Use bus virtio or scsi, or stop the VM first.';
    refusals.push(refuse('WRONG_STATE', `${field}.bus`, message, remedy));
    return;
  }
  const target = freeDiskTarget(disk.bus, taken);
  const { dev, address } = target;
  const device = { serial: diskSerial(disk.name), dev, bus: disk.bus, device: 'disk', path: undefined, alias: '' };
  taken.push({ ...device, address, limits: NO_LIMITS });
  if (makesVolume(disk)) steps.push({ kind: 'volume-make', when: 'now', field: DISKS, disk });
  if (disk.bus === 'scsi' && !live.hasScsi && !steps.some((step) => step.kind === 'scsi-attach'))
    steps.push({ kind: 'scsi-attach', when: 'now', field: DISKS });
  steps.push({ kind: 'disk-attach', when: 'now', field: DISKS, disk, target });
}

/** A disk that the running domain has, too. */
function adjust(old: Disk | undefined, disk: Disk, present: DiskFacts): Step[] {
  const { dev } = present;
  const steps: Step[] = [];
  const when = 'now';
  if (disk.device === 'cdrom') {
    const before = old?.image ?? '';
    if (disk.image !== before) steps.push({ kind: 'medium', when, field: DISKS, disk, dev, before });
    return steps;
  }
  if (old !== undefined && disk.sizeBytes > old.sizeBytes)
    steps.push({ kind: 'disk-grow', when, field: DISKS, disk, dev, fromBytes: old.sizeBytes });
  const limits = disk.limits ?? NO_LIMITS;
  if (!sameLimits(limits, present.limits)) steps.push({ kind: 'disk-limit', when, field: DISKS, disk, dev, limits });
  return steps;
}

function remove(disk: Disk, { previous, live, deleteVolumes }: PlanInput, steps: Step[], refusals: Refusal[]): void {
  if (disk.name === previous.spec.disks[0]?.name) return;
  const present = live?.disks.find((one) => one.serial === diskSerial(disk.name));
  if (present !== undefined) {
    if (disk.device === 'cdrom' || disk.bus === 'sata') {
      const what = disk.device === 'cdrom' ? `The CD-ROM drive ${disk.name}` : `The SATA disk ${disk.name}`;
      const message = `${what} cannot be taken out of a running VM.`;
      const remedy = disk.device === 'cdrom' ? `Eject its medium, or: ${STOP_FIRST}` : STOP_FIRST;
      refusals.push(refuse('WRONG_STATE', DISKS, message, remedy));
      return;
    }
    const { dev, alias } = present;
    steps.push({ kind: 'disk-detach', when: 'now', field: DISKS, disk, dev, alias });
  } else {
    const what = `it has no ${disk.device} ${disk.name}`;
    steps.push({ kind: 'write-down', when: 'next-start', field: DISKS, what });
  }
  if (disk.device === 'disk') {
    const release = { kind: 'volume-release', when: 'now', field: DISKS, disk, remove: deleteVolumes } as const;
    steps.push(release);
  }
}
