import { OstlerError } from '../../proto/kit/errors.js';
import { rootDisk } from '../../proto/model/vm.js';
import type { RecordChange } from '../command.js';
import type { DomainFacts } from '../core/domain-facts.js';
import { planDomain } from '../core/domain-plan.js';
import type { DomainPlan, Step } from '../core/domain-steps.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { readFacts } from '../xml/read-facts.js';
import { planNewVolumes, planVm, type VmPlan } from './definition.js';
import type { DriverDeps } from './deps.js';
import { isActive, refuseSavedMemory, stateOf } from './domain-state.js';
import { refuseDiskInSnapshot } from './snapshots/guard.js';
import { assertVolumesFree } from './volumes-free.js';
import { asOstlerError } from './xml-errors.js';

export interface ChangePlan {
  readonly plan: DomainPlan;
  /** Undefined: the domain is off. */
  readonly live: DomainFacts | undefined;
  /** The VM as it will be defined; undefined when the plan is refused. */
  readonly vm: VmPlan | undefined;
  /** Of the disks that get one, by disk name. */
  readonly volumes: ReadonlyMap<string, VolumeStep>;
}

type PlanDeps = Pick<DriverDeps, 'hypervisor' | 'host' | 'pools' | 'layout' | 'accelerator' | 'defaultBridge'>;

/** The running domain as it is now; undefined while it is off. */
export async function liveFacts(
  uuid: string,
  deps: Pick<DriverDeps, 'hypervisor'>,
): Promise<{ readonly live: DomainFacts | undefined; readonly paused: boolean }> {
  const { state } = await stateOf(deps.hypervisor, uuid);
  if (state === 'gone')
    throw new OstlerError('NOT_FOUND', 'The domain is not defined on this host any more.', {
      remedy: 'Start the VM: that defines it again.',
    });
  if (!isActive(state)) return { live: undefined, paused: false };
  const xml = await deps.hypervisor.domainXml(uuid);
  return { live: asOstlerError(() => readFacts(xml)), paused: state !== 'running' };
}

/** What the change would do on this host now. Throws what the host has against it (a pool, a volume in use). */
export async function planChange(change: RecordChange, deps: PlanDeps): Promise<ChangePlan> {
  const { previous, record, images, deleteVolumes } = change;
  const { live, paused } = await liveFacts(record.uuid, deps);
  if (live === undefined) await refuseSavedMemory(record, deps.hypervisor);
  if (record.spec.resetRootAtReboot === true && previous.spec.resetRootAtReboot !== true)
    await refuseDiskInSnapshot(record, rootDisk(record.spec)?.name ?? '', deps);
  const plan = planDomain({ previous, wanted: record, live, paused, deleteVolumes });
  if (!plan.ok) return { plan, live, vm: undefined, volumes: new Map() };
  for (const step of plan.steps)
    if (step.kind === 'volume-release') await refuseDiskInSnapshot(previous, step.disk.name, deps);
  const disks = newDisks(change, plan.steps);
  const volumes = disks.length === 0 ? [] : await planNewVolumes(record, disks, images, deps);
  await assertVolumesFree(record, volumes, deps);
  const vm = await planVm(record, images, { room: false }, deps);
  return { plan, live, vm, volumes: new Map(volumes.map((volume) => [volume.diskName, volume])) };
}

/** Disks that are new to the VM, and those that a step is about although the record had them before. */
function newDisks({ previous, record }: RecordChange, steps: readonly Step[]): RecordChange['record']['spec']['disks'] {
  const known = new Set(previous.spec.disks.map((disk) => disk.name));
  const touched = new Set(
    steps.flatMap((step) =>
      step.kind === 'volume-make' || step.kind === 'disk-attach' || step.kind === 'medium' ? [step.disk.name] : [],
    ),
  );
  return record.spec.disks.filter((disk) => !known.has(disk.name) || touched.has(disk.name));
}
