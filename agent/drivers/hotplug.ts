import { OstlerError } from '../../proto/kit/errors.js';
import type { UndoStack } from '../../proto/kit/undo.js';
import type { CommandContext, RecordChange } from '../command.js';
import type { DomainFacts } from '../core/domain-facts.js';
import type { Step, StepKind } from '../core/domain-steps.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { readFacts } from '../xml/read-facts.js';
import type { VmPlan } from './definition.js';
import type { DriverDeps } from './deps.js';
import { watchDomain } from './domain-watch.js';
import { asOstlerError } from './xml-errors.js';

/** What the steps of one change share. */
export interface StepRun {
  readonly change: RecordChange;
  /** Of the disks that get one, by disk name. */
  readonly volumes: ReadonlyMap<string, VolumeStep>;
  /** The VM as it will be defined. */
  readonly vm: VmPlan;
  /** As it was before the first step; undefined: the domain is off. */
  readonly live: DomainFacts | undefined;
  readonly context: CommandContext;
  readonly deps: DriverDeps;
  readonly undo: UndoStack;
  /** What is done and not as good as asked for: sentences for a person. */
  readonly warnings: string[];
  readonly facts: Record<string, string>;
}

export type StepOf<K extends StepKind> = Extract<Step, { kind: K }>;
export type StepRunner<K extends StepKind> = (step: StepOf<K>, run: StepRun) => Promise<void>;
export type StepRunners = { readonly [K in StepKind]: StepRunner<K> };

/** A loaded guest under emulation took up to 5 s; a guest that does not care never does. */
const RELEASE_MS = 30_000;
const LATE_RELEASE_MS = 5_000;

export async function factsNow(uuid: string, deps: Pick<DriverDeps, 'hypervisor'>): Promise<DomainFacts> {
  const xml = await deps.hypervisor.domainXml(uuid);
  return asOstlerError(() => readFacts(xml));
}

/**
 * Asks the guest to let a device go and waits until it has. GUEST_TIMEOUT: it has not, the device is still there and in
 * use, and nothing else was changed.
 */
export async function releaseDevice(
  device: { readonly what: string; readonly alias: string; readonly field: string },
  run: Pick<StepRun, 'change' | 'context' | 'deps'>,
): Promise<void> {
  const { deps, context } = run;
  const { uuid, name } = run.change.record;
  const { alias, what, field } = device;
  const watch = await watchDomain(uuid, deps, context.signal);
  try {
    await deps.hypervisor.detachDevice(uuid, alias);
    deps.fault('hotplug.detach-asked');
    const gone = await watch.until(async () => !(await aliases(uuid, deps)).includes(alias), RELEASE_MS);
    if (gone) return;
  } finally {
    watch.close();
  }
  throw new OstlerError(
    'GUEST_TIMEOUT',
    `The guest of ${name} did not let the ${what} go within ${RELEASE_MS / 1000} s.`,
    {
      remedy:
        'Stop using it in the guest (unmount it), see that the guest has booted, and try again; or stop the VM first.',
      field,
    },
  );
}

/** For taking a release back: a guest that was asked may still let the device go, which must be over first. */
export async function releasedAfterAll(
  present: () => Promise<boolean>,
  run: Pick<StepRun, 'context' | 'deps'>,
): Promise<boolean> {
  return patiently(async () => !(await present()), LATE_RELEASE_MS, unhurried(run));
}

async function aliases(uuid: string, deps: Pick<DriverDeps, 'hypervisor'>): Promise<string[]> {
  const { disks, nics, memory } = await factsNow(uuid, deps);
  return [...disks, ...nics, ...memory].map((one) => one.alias);
}

/** Asks until it holds or the time is over. */
export async function patiently(
  test: () => Promise<boolean>,
  timeoutMs: number,
  { context, deps }: Pick<StepRun, 'context' | 'deps'>,
): Promise<boolean> {
  const end = deps.clock.monotonic() + timeoutMs;
  for (;;) {
    if (await test()) return true;
    if (deps.clock.monotonic() >= end) return false;
    await deps.clock.sleep(250, context.signal);
  }
}

/** Taking back goes on when the work was cancelled. */
export function unhurried<R extends Pick<StepRun, 'context'>>(run: R): R {
  return { ...run, context: { ...run.context, signal: new AbortController().signal } };
}
