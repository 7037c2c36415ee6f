/**
 * A change of a VM as ordered steps, or every reason why not. Pure: (what it was asked to be, what it is to be, what the
 * running domain has) → plan. One refusal and nothing is done. The order lets everything that can be taken back come
 * before what cannot: plugging in, taking out, then growing, which no guest gives back.
 */
import type { VmRecord } from '../../proto/model/vm.js';
import { diskSerial } from './disk-target.js';
import type { DomainFacts } from './domain-facts.js';
import type { DomainPlan, Step, StepKind } from './domain-steps.js';
import { planDisks } from './plan-disks.js';
import { planNics } from './plan-nics.js';
import { planSize } from './plan-size.js';
import { refuse, STOP_FIRST, type Refusal } from './refusal.js';

export interface PlanInput {
  /** What it was asked to be until now. */
  readonly previous: VmRecord;
  readonly wanted: VmRecord;
  /** Undefined: it does not run. */
  readonly live: DomainFacts | undefined;
  /** It has a QEMU, but its guest does not run. */
  readonly paused: boolean;
  readonly deleteVolumes: boolean;
}

/** What a planner of one part of the machine says. */
export interface PartPlan {
  readonly steps: readonly Step[];
  readonly refusals: readonly Refusal[];
}

const ORDER: Readonly<Record<StepKind, number>> = {
  'volume-make': 0,
  'scsi-attach': 1,
  'disk-attach': 2,
  'nic-attach': 3,
  'disk-limit': 4,
  medium: 5,
  'disk-detach': 6,
  'nic-detach': 7,
  'disk-grow': 8,
  memory: 9,
  vcpus: 10,
  'volume-release': 11,
  'write-down': 12,
};

/** The plan of a change; with `previous` equal to `wanted`, what is stored and not in effect. */
export function planDomain(input: PlanInput): DomainPlan {
  const parts = [planSize(input), planDisks(input), planNics(input), planRest(input)];
  const steps = parts.flatMap((part) => part.steps);
  const refusals = parts.flatMap((part) => part.refusals);
  if (input.paused && steps.some((step) => step.when === 'now')) refusals.push(pausedRefusal(input.wanted));
  refusals.push(...portRefusals(steps, input.live));
  if (refusals.length > 0) return { ok: false, refusals };
  const ordered = steps
    .map((step, index) => ({ step, index }))
    .sort((a, b) => ORDER[a.step.kind] - ORDER[b.step.kind] || a.index - b.index)
    .map(({ step }) => step);
  return { ok: true, steps: ordered };
}

function pausedRefusal(wanted: VmRecord): Refusal {
  const remedy = 'Resume it, or stop it.';
  return refuse('WRONG_STATE', 'spec', `${wanted.name} is paused: its guest cannot take or give up devices.`, remedy);
}

/** A port of its own for each of these; SCSI disks share their controller's. */
function takesPort(step: Step): boolean {
  switch (step.kind) {
    case 'scsi-attach':
    case 'nic-attach':
      return true;
    case 'disk-attach':
      return step.disk.bus === 'virtio';
    case 'memory':
      return step.how.by === 'attach' && step.how.model === 'virtio-mem';
    default:
      return false;
  }
}

function portRefusals(steps: readonly Step[], live: DomainFacts | undefined): Refusal[] {
  if (live === undefined) return [];
  const needed = steps.filter((step) => step.when === 'now' && takesPort(step));
  if (needed.length <= live.freePorts) return [];
  const field = needed.at(-1)?.field ?? 'spec';
  const message = `The machine has ${live.freePorts} free PCIe ports; the new devices need ${needed.length}.`;
  return [
    refuse('WRONG_STATE', field, message, 'Stop it and start it again: that makes new ports. SCSI disks need none.'),
  ];
}

/** What is part of no device: refused while it runs (C-107, C-118), or stored for the next start. */
function planRest({ previous, wanted, live }: PlanInput): PartPlan {
  const steps: Step[] = [];
  const refusals: Refusal[] = [];
  const a = previous.spec;
  const b = wanted.spec;
  const running = live !== undefined;
  const fixed = (field: string, what: string): void => {
    refusals.push(refuse('WRONG_STATE', `spec.${field}`, `${what} cannot be changed while the VM runs.`, STOP_FIRST));
  };
  const stored = (field: string, what: string): void => {
    steps.push({ kind: 'write-down', when: 'next-start', field: `spec.${field}`, what });
  };
  const hardware: readonly (readonly [string, string, unknown, unknown])[] = [
    ['os_type', 'The kind of operating system', a.osType, b.osType],
    ['firmware', 'The firmware', a.firmware, b.firmware],
    ['cloud_init', 'Cloud-init', a.cloudInit, b.cloudInit],
    ['placement', 'Where it may be placed', a.placement, b.placement],
  ];
  for (const [field, what, before, after] of hardware) {
    if (same(before, after)) continue;
    if (running)
      fixed(field, what); // C-118
    else stored(field, `${field} is as given`);
  }
  if (a.shutdownTimeoutSeconds !== b.shutdownTimeoutSeconds || a.onShutdownTimeout !== b.onShutdownTimeout)
    steps.push({
      kind: 'write-down',
      when: 'now',
      field: 'spec.shutdown_timeout_seconds',
      what: `a stop waits ${b.shutdownTimeoutSeconds} s for the guest, then ${b.onShutdownTimeout === 'force-off' ? 'pulls the plug' : 'lets it run on'}`,
    });
  if (bootOrderDiffers(previous, wanted, live)) stored('boot_order', `it boots from ${b.bootOrder.join(', ')}`);
  return { steps, refusals };
}

function bootOrderDiffers(previous: VmRecord, wanted: VmRecord, live: DomainFacts | undefined): boolean {
  if (live === undefined) return !same(previous.spec.bootOrder, wanted.spec.bootOrder);
  const macs = new Map(wanted.spec.nics.map((nic) => [nic.name, nic.mac]));
  const keys = wanted.spec.bootOrder.map((name) => macs.get(name) ?? diskSerial(name));
  // What was plugged in later boots from the next start on, at its place; that alone is no news.
  const known = keys.filter((key) => live.bootOrder.includes(key));
  return !same(
    known,
    live.bootOrder.filter((key) => known.includes(key)),
  );
}

function same(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
