import { OstlerError } from '../../proto/kit/errors.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { Command, CommandContext, Facts } from '../command.js';
import { planVm, seedOf, type VmPlan } from './definition.js';
import type { DriverDeps } from './deps.js';
import { refuseSavedMemory, stateOf, unless } from './domain-state.js';
import { noteRenewedDisk, refuseDiskInSnapshot } from './snapshots/guard.js';
import { settleForStart } from './snapshots/start.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { watchDomain } from './domain-watch.js';
import { refuseChain, replaceDisk, rootVolume } from './rebuild-root.js';

/** For a domain that another process is just starting or ending. */
const SETTLE_MS = 30_000;

/**
 * M-017: builds the domain anew from the record, then starts it. A running domain is success, whoever started it.
 * Beside libvirt's own work it costs a few file look-ups and one definition.
 */
export async function start(command: Command<'start'>, context: CommandContext, deps: DriverDeps): Promise<Facts> {
  const { record, images } = command.body;
  const { hypervisor, definitions, fault } = deps;
  const planning = planVm(record, images, { room: false }, deps);
  planning.catch(() => undefined);
  const state = await settled(record.uuid, context, deps);
  if (state === 'running') return { already: 'true' };
  if (state === 'paused')
    throw new OstlerError('WRONG_STATE', `${record.id} is paused, not stopped.`, { remedy: 'Resume it instead.' });
  if (state === 'shutoff') await refuseSavedMemory(record, hypervisor);
  const { plan, current } = await settledPlan(await planning, state !== 'gone', { record, images, context, deps });
  // Before anything is fetched or written.
  await Promise.all(plan.volumes.map((volume) => requireFile(volume, deps)));
  await context.recorded;
  await ensureFiles(plan, record, images, context, deps);
  fault('start.files-there');
  if (record.spec.resetRootAtReboot === true) await resetRoot(plan, record, context, deps);
  context.signal.throwIfAborted();
  if (!current) await definitions.define(record.uuid, plan.xml);
  fault('start.defined');
  if (record.spec.autostart === true) await hypervisor.setAutostart(record.uuid, true);
  deps.intents.set(record.uuid, 'none');
  const began = deps.clock.monotonic();
  try {
    await hypervisor.createDomain(record.uuid);
  } catch (error) {
    // "Already running" is success; anything else is what it is.
    if ((await stateOf(hypervisor, record.uuid)).state !== 'running') throw error;
  }
  // What of a slow start is libvirt's and QEMU's, and what is ours.
  const ms = Math.round((deps.clock.monotonic() - began) * 10) / 10;
  deps.log.info({ vm: record.id, ms }, 'libvirt has started the domain');
  fault('start.created');
  return Object.fromEntries(plan.volumes.map((volume) => [`volume.${volume.diskName}`, volume.path]));
}

/**
 * Disks with snapshots are brought to rest before anything is built on them; a definition that is not the one that we wrote
 * is looked at before it is replaced.
 */
async function settledPlan(
  planned: VmPlan,
  defined: boolean,
  about: { record: VmRecord; images: readonly ImageRef[]; context: CommandContext; deps: DriverDeps },
): Promise<{ readonly plan: VmPlan; readonly current: boolean }> {
  const { record, images, context, deps } = about;
  const isCurrent = (plan: VmPlan): Promise<boolean> => deps.definitions.isCurrent(record.uuid, plan.xml);
  const current = await isCurrent(planned);
  if (!planned.chained && (current || !defined)) return { plan: planned, current };
  await context.recorded;
  await settleForStart(record, defined, context, deps);
  if (!planned.chained) return { plan: planned, current };
  const plan = await planVm(record, images, { room: false }, deps);
  return { plan, current: await isCurrent(plan) };
}

/** M-034: what the guest wrote to its root disk does not outlive its life. */
async function resetRoot(plan: VmPlan, record: VmRecord, context: CommandContext, deps: DriverDeps): Promise<void> {
  const root = rootVolume(record, plan);
  await refuseDiskInSnapshot(record, root.diskName, deps);
  await refuseChain(record, root, deps);
  await replaceDisk(root, context, deps);
  await noteRenewedDisk(record, root.diskName, context, deps);
  deps.fault('start.root-reset');
}

/** libvirt goes on with a start or stop whose caller died: its outcome is awaited before deciding anything. */
async function settled(uuid: string, context: CommandContext, deps: DriverDeps): Promise<string> {
  const moving = ({ state, reason }: { state: string; reason: string }): boolean =>
    state === 'shutdown' || (state === 'paused' && (reason === 'starting up' || reason === 'shutting down'));
  let now = await stateOf(deps.hypervisor, uuid);
  if (!moving(now)) return now.state;
  const watch = await watchDomain(uuid, deps, context.signal);
  try {
    const done = await watch.until(async () => {
      now = await stateOf(deps.hypervisor, uuid);
      return !moving(now);
    }, SETTLE_MS);
    if (done) return now.state;
  } finally {
    watch.close();
  }
  throw new OstlerError('WRONG_STATE', `The domain is ${now.state} (${now.reason}) and does not settle.`, {
    remedy: 'Stop it with force, then start it.',
  });
}

async function ensureFiles(
  plan: VmPlan,
  record: VmRecord,
  images: readonly ImageRef[],
  context: CommandContext,
  deps: DriverDeps,
): Promise<void> {
  const { files } = deps.host;
  const fetching = plan.images.map(async (step) => {
    const image = images.find((one) => one.id === step.imageId);
    if (image === undefined) return;
    const progress = (percent: number): void => context.progress(percent, `fetching image ${image.id}: ${percent} %`);
    await deps.images.ensure(step.path, image, progress, context.signal);
  });
  const seed = plan.seedPath === undefined ? undefined : ensureSeed(plan.seedPath, seedOf(record), deps);
  // To the end of all of them: none may still be writing when the command has failed.
  const results = await Promise.allSettled([...fetching, files.makeDirectory(plan.directory, 0o700), seed]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function requireFile(volume: VolumeStep, deps: DriverDeps): Promise<void> {
  if (volume.kind === 'iso' || (await deps.host.files.exists(volume.path))) return;
  throw new OstlerError('STORAGE_ERROR', `The disk ${volume.diskName} is not there: ${volume.path}`, {
    remedy: 'Look whether its pool is mounted; restore the file from a backup if it is lost.',
    metadata: { path: volume.path },
  });
}

/** Written only when it changed: a start should not wait for an fsync that changes nothing. */
async function ensureSeed(path: string, seed: Buffer, deps: DriverDeps): Promise<void> {
  const { files } = deps.host;
  if ((await files.size(path)) === seed.length && (await files.read(path)).equals(seed)) return;
  await files.writeAtomic(path, seed, 0o600);
  deps.fault('start.seed-written');
}

/** Powers off whatever runs; a domain that is off or gone is success. */
export async function powerOff(uuid: string, deps: DriverDeps): Promise<void> {
  deps.intents.set(uuid, 'destroy');
  await unless(['NOT_FOUND', 'WRONG_STATE'], () => deps.hypervisor.destroyDomain(uuid));
}
