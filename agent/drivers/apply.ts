import { UndoStack } from '../../proto/kit/undo.js';
import type { Command, CommandContext, Facts } from '../command.js';
import { describeStep, type Step, type StepKind } from '../core/domain-steps.js';
import { metadataXml, METADATA_NAMESPACE, METADATA_PREFIX } from '../xml/metadata.js';
import { withLiveTargets } from '../xml/live-targets.js';
import { planChange } from './change-plan.js';
import { refusalError } from './definition.js';
import type { DriverDeps } from './deps.js';
import type { StepRun, StepRunners } from './hotplug.js';
import { plugVcpus } from './hotplug-cpu.js';
import { attachDisk, attachScsi, changeMedium, detachDisk, growDisk, limitDisk, makeVolume } from './hotplug-disk.js';
import { growMemory } from './hotplug-memory.js';
import { attachNic, detachNic } from './hotplug-nic.js';
import { isMade, refreshLater } from './provision.js';
import { releaseVolume } from './volume-release.js';
import { asOstlerError } from './xml-errors.js';

const RUNNERS: StepRunners = {
  'volume-make': makeVolume,
  'scsi-attach': attachScsi,
  'disk-attach': attachDisk,
  'nic-attach': attachNic,
  'disk-limit': limitDisk,
  medium: changeMedium,
  'disk-detach': detachDisk,
  'nic-detach': detachNic,
  'disk-grow': growDisk,
  memory: growMemory,
  vcpus: plugVcpus,
  'volume-release': releaseVolume,
  'write-down': () => Promise.resolve(),
};

/** These end what was, so they wait until the new definition is written. */
const LAST: readonly StepKind[] = ['volume-release'];

/**
 * Makes the VM what the record says. The plan is made from what the domain has now, so that a run after a crash does only
 * what is left. What fails is taken back, newest first; growth, which no guest gives back, comes last.
 */
export async function apply(command: Command<'apply'>, context: CommandContext, deps: DriverDeps): Promise<Facts> {
  const change = command.body;
  const { record } = change;
  const { plan, live, vm, volumes } = await planChange(change, deps);
  if (!plan.ok || vm === undefined) throw refusalError(plan.ok ? [] : plan.refusals);
  deps.fault('hotplug.planned');
  const undo = new UndoStack();
  const run: StepRun = { change, volumes, vm, live, context, deps, undo, warnings: [], facts: {} };
  await noteVolumes(run);
  deps.fault('hotplug.noted');
  const work = plan.steps.filter((step) => !LAST.includes(step.kind));
  try {
    for (const [index, step] of work.entries()) {
      context.signal.throwIfAborted();
      context.progress(Math.floor((index / (work.length + 1)) * 90), describeStep(step));
      await runStep(step, run);
    }
    await deps.hypervisor.defineDomain(live === undefined ? vm.xml : await besideLive(vm.xml, record.uuid, deps));
    deps.fault('hotplug.defined');
    if (change.previous.spec.autostart !== record.spec.autostart)
      await deps.hypervisor.setAutostart(record.uuid, record.spec.autostart === true);
    // The definition has it; the running domain keeps a copy of its own, which is what a listing of records reads.
    if (live !== undefined) await writeMetadata(run);
    deps.fault('hotplug.recorded');
    undo.commit();
  } catch (error) {
    for (const failure of await undo.unwind())
      deps.log.error({ err: failure.error, vm: record.id, what: failure.what }, 'could not be taken back');
    deps.fault('hotplug.undone');
    throw error;
  }
  for (const step of plan.steps.filter((one) => LAST.includes(one.kind))) await runStep(step, run);
  refreshLater(vm.pools, deps);
  return { ...run.facts, ...Object.fromEntries(run.warnings.map((text, index) => [`warning.${index}`, text])) };
}

/** The map is exhaustive by its type; the compiler cannot follow the pair of key and argument. */
async function runStep(step: Step, run: StepRun): Promise<void> {
  const { fault, log } = run.deps;
  fault(`hotplug.${step.kind}`);
  const runner = RUNNERS[step.kind] as (step: Step, run: StepRun) => Promise<void>;
  await runner(step, run);
  log.info({ vm: run.change.record.id, step: step.kind, field: step.field }, describeStep(step));
  fault(`hotplug.${step.kind}-done`);
}

async function besideLive(xml: string, uuid: string, { hypervisor }: DriverDeps): Promise<string> {
  const now = await hypervisor.domainXml(uuid);
  return asOstlerError(() => withLiveTargets(xml, now));
}

/** Files that are not there yet will be ours to take back; written down first, so that a run after a crash knows. */
async function noteVolumes(run: StepRun): Promise<void> {
  const { context, deps, volumes, undo } = run;
  const [note] = context.notes;
  const ours: string[] = note === undefined ? [] : (JSON.parse(note) as string[]);
  if (note === undefined) {
    for (const volume of volumes.values())
      if (isMade(volume) && !(await deps.host.files.exists(volume.path))) ours.push(volume.path);
    await context.note(JSON.stringify(ours));
  }
  for (const path of ours)
    undo.push(path, async () => {
      await deps.host.files.remove(`${path}.tmp`);
      await deps.host.files.remove(path);
    });
}

async function writeMetadata({ change, deps }: StepRun): Promise<void> {
  await deps.hypervisor.setMetadata(change.record.uuid, {
    namespace: METADATA_NAMESPACE,
    prefix: METADATA_PREFIX,
    xml: asOstlerError(() => metadataXml(change.record)),
    live: true,
  });
}
