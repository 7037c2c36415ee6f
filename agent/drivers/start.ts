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
  const { hypervisor, fault } = deps;
  // Side by side, and while the order is still being flushed: people wait for a start.
  const looking = lookAround(record, images, deps);
  const saved = refuseSavedMemory(record, hypervisor);
  for (const look of [looking, saved]) look.catch(() => undefined);
  const { state, waited } = await settled(record.uuid, context, deps);
  if (state === 'running') return { already: 'true' };
  if (state === 'paused')
    throw new OstlerError('WRONG_STATE', `${record.id} is paused, not stopped.`, { remedy: 'Resume it instead.' });
  if (state === 'shutoff') await (waited ? refuseSavedMemory(record, hypervisor) : saved);
  let sight = await (waited ? lookAround(record, images, deps) : looking);
  if (sight.plan.chained || (!sight.current && state !== 'gone')) {
    // Disks with snapshots are brought to rest; a definition that is not the one that we wrote is looked at before it goes.
    await context.recorded;
    await settleForStart(record, state !== 'gone', context, deps);
    sight = await lookAround(record, images, deps);
  }
  const { plan } = sight;
  if (sight.missing !== undefined) throw diskIsMissing(sight.missing);
  await context.recorded;
  await ensureFiles(sight, record, images, context, deps);
  fault('start.files-there');
  if (record.spec.resetRootAtReboot === true) await resetRoot(plan, record, context, deps);
  context.signal.throwIfAborted();
  if (!sight.current) await deps.definitions.define(record.uuid, plan.xml);
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

/** What is there of all that a start needs. */
interface Sight {
  readonly plan: VmPlan;
  /** The domain is defined as planned. */
  readonly current: boolean;
  /** The seed is as it should be, and so is the directory. */
  readonly seedIsThere: boolean;
  readonly directoryIsThere: boolean;
  /** The first disk without its file. */
  readonly missing: VolumeStep | undefined;
}

/** Changes nothing. */
async function lookAround(record: VmRecord, images: readonly ImageRef[], deps: DriverDeps): Promise<Sight> {
  const { files } = deps.host;
  const plan = await planVm(record, images, { room: false }, deps);
  const disks = plan.volumes.filter(({ kind }) => kind !== 'iso');
  const [current, seedIsThere, directoryIsThere, ...there] = await Promise.all([
    deps.definitions.isCurrent(record.uuid, plan.xml),
    seedMatches(plan, record, deps),
    files.exists(plan.directory),
    ...disks.map(({ path }) => files.exists(path)),
  ]);
  return { plan, current, seedIsThere, directoryIsThere, missing: disks.find((_disk, index) => there[index] !== true) };
}

function diskIsMissing({ diskName, path }: VolumeStep): OstlerError {
  return new OstlerError('STORAGE_ERROR', `The disk ${diskName} is not there: ${path}`, {
    remedy: 'Look whether its pool is mounted; restore the file from a backup if it is lost.',
    metadata: { path },
  });
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
async function settled(
  uuid: string,
  context: CommandContext,
  deps: DriverDeps,
): Promise<{ readonly state: string; readonly waited: boolean }> {
  const moving = ({ state, reason }: { state: string; reason: string }): boolean =>
    state === 'shutdown' || (state === 'paused' && (reason === 'starting up' || reason === 'shutting down'));
  let now = await stateOf(deps.hypervisor, uuid);
  if (!moving(now)) return { state: now.state, waited: false };
  const watch = await watchDomain(uuid, deps, context.signal);
  try {
    const done = await watch.until(async () => {
      now = await stateOf(deps.hypervisor, uuid);
      return !moving(now);
    }, SETTLE_MS);
    if (done) return { state: now.state, waited: true };
  } finally {
    watch.close();
  }
  throw new OstlerError('WRONG_STATE', `The domain is ${now.state} (${now.reason}) and does not settle.`, {
    remedy: 'Stop it with force, then start it.',
  });
}

async function ensureFiles(
  sight: Sight,
  record: VmRecord,
  images: readonly ImageRef[],
  context: CommandContext,
  deps: DriverDeps,
): Promise<void> {
  const { plan } = sight;
  const { files } = deps.host;
  const fetching = plan.images.map(async (step) => {
    const image = images.find((one) => one.id === step.imageId);
    if (image === undefined) return;
    const progress = (percent: number): void => context.progress(percent, `fetching image ${image.id}: ${percent} %`);
    await deps.images.ensure(step.path, image, progress, context.signal);
  });
  const directory = sight.directoryIsThere ? undefined : files.makeDirectory(plan.directory, 0o700);
  // To the end of all of them: none may still be writing when the command has failed.
  const results = await Promise.allSettled([...fetching, directory, ensureSeed(sight, record, deps)]);
  for (const result of results) if (result.status === 'rejected') throw result.reason;
}

async function seedMatches({ seedPath }: VmPlan, record: VmRecord, deps: DriverDeps): Promise<boolean> {
  if (seedPath === undefined) return true;
  const { files } = deps.host;
  const seed = seedOf(record);
  return (await files.size(seedPath)) === seed.length && (await files.read(seedPath)).equals(seed);
}

/** Written only when it changed: a start should not wait for an fsync that changes nothing. */
async function ensureSeed({ plan, seedIsThere }: Sight, record: VmRecord, deps: DriverDeps): Promise<void> {
  if (plan.seedPath === undefined || seedIsThere) return;
  await deps.host.files.writeAtomic(plan.seedPath, seedOf(record), 0o600);
  deps.fault('start.seed-written');
}

/** Powers off whatever runs; a domain that is off or gone is success. */
export async function powerOff(uuid: string, deps: DriverDeps): Promise<void> {
  deps.intents.set(uuid, 'destroy');
  await unless(['NOT_FOUND', 'WRONG_STATE'], () => deps.hypervisor.destroyDomain(uuid));
}
