import { OstlerError } from '../../proto/kit/errors.js';
import { UndoStack } from '../../proto/kit/undo.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { Command, CommandContext, Facts } from '../command.js';
import { describeStep, type Step, type StepKind } from '../core/domain-steps.js';
import { metadataXml, METADATA_NAMESPACE, METADATA_PREFIX } from '../xml/metadata.js';
import { withLiveTargets } from '../xml/live-targets.js';
import { planChange } from './change-plan.js';
import { refusalError } from './definition.js';
import type { DriverDeps } from './deps.js';
import { stateOf } from './domain-state.js';
import { factsNow, type StepRun, type StepRunners } from './hotplug.js';
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
    await writeDown(live === undefined ? vm.xml : await besideLive(vm.xml, record.uuid, deps), run);
    undo.commit();
  } catch (error) {
    await libvirtBack(run);
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
      await refuseInUse(path, run);
      await deps.host.files.remove(`${path}.tmp`);
      await deps.host.files.remove(path);
    });
}

/** A disk that its guest does not let go keeps its volume, or what the guest writes would be lost. */
async function refuseInUse(path: string, { change, deps, live }: StepRun): Promise<void> {
  if (live === undefined) return;
  const { disks } = await factsNow(change.record.uuid, deps);
  if (disks.some((disk) => disk.path === path))
    throw new OstlerError('IN_USE', `${path} is still a disk of the running domain.`);
}

/**
 * Without libvirt nothing can be taken back, and what it may have done just before is not known: taking back waits for it,
 * also when the change was cancelled. Only the agent's own end is quicker; the next process goes on with the change.
 */
async function libvirtBack({ change, context, deps }: StepRun): Promise<void> {
  const { clock, hypervisor, log } = deps;
  for (let waits = 0; ; waits += 1) {
    const { signal } = context;
    if (!(signal.reason instanceof OstlerError)) signal.throwIfAborted();
    try {
      await stateOf(hypervisor, change.record.uuid);
      return;
    } catch (error) {
      if (!(error instanceof OstlerError) || !AWAY.includes(error.code)) return;
      if (waits === 0) {
        log.warn({ err: error, vm: change.record.id }, 'a change is taken back as soon as libvirt is there again');
        context.progress(90, 'waiting for libvirt to take the change back');
      }
      await clock.sleep(BACK_MS, new AbortController().signal);
    }
  }
}

const AWAY: readonly string[] = ['HYPERVISOR_UNAVAILABLE', 'TIMEOUT'];
const BACK_MS = 250;

/** The definition, what goes with it, and the copy of the record that the running domain has: a listing of records reads that. */
async function writeDown(xml: string, { change, deps, live, undo }: StepRun): Promise<void> {
  const { hypervisor } = deps;
  const { previous, record } = change;
  const { uuid } = record;
  const before = await hypervisor.domainXml(uuid, { inactive: true, secure: true });
  // Pushed first: a call whose answer is lost may have done its work.
  undo.push('the definition', () => hypervisor.defineDomain(before).then(() => undefined));
  await hypervisor.defineDomain(xml);
  deps.fault('hotplug.defined');
  const { autostart = false } = record.spec;
  if ((previous.spec.autostart ?? false) !== autostart) {
    undo.push('autostart', () => hypervisor.setAutostart(uuid, !autostart));
    await hypervisor.setAutostart(uuid, autostart);
  }
  if (live !== undefined) {
    undo.push('the record in the domain', () => writeMetadata(previous, deps));
    await writeMetadata(record, deps);
  }
  deps.fault('hotplug.recorded');
}

async function writeMetadata(record: VmRecord, { hypervisor }: DriverDeps): Promise<void> {
  await hypervisor.setMetadata(record.uuid, {
    namespace: METADATA_NAMESPACE,
    prefix: METADATA_PREFIX,
    xml: asOstlerError(() => metadataXml(record)),
    live: true,
  });
}
