import { OstlerError } from '../../proto/kit/errors.js';
import { UndoStack } from '../../proto/kit/undo.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { Command, CommandContext, Facts } from '../command.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { planVm, seedOf, type VmPlan } from './definition.js';
import type { DriverDeps } from './deps.js';
import { isActive, stateOf, unless } from './domain-state.js';
import { copiesOf } from './snapshots/copy.js';
import { assertVolumesFree } from './volumes-free.js';

/** Of the whole; the rest is disks, seed and definition. */
const IMAGES_PERCENT = 70;
const DISKS_PERCENT = 95;

/** Disks, seed and a defined, stopped domain; on failure everything that this command made is taken back. */
export async function provision(
  command: Command<'provision'>,
  context: CommandContext,
  deps: DriverDeps,
): Promise<Facts> {
  const { record, images, source } = command.body;
  const { state } = await stateOf(deps.hypervisor, record.uuid);
  if (isActive(state))
    throw new OstlerError('WRONG_STATE', `${record.id} runs on this host already.`, { metadata: { state } });
  const planned = await planVm(record, images, { room: true }, deps);
  const plan =
    source === undefined ? planned : { ...planned, volumes: await copiesOf(planned.volumes, source, context, deps) };
  await assertVolumesFree(record, plan.volumes, deps);
  const made = await noteWhatIsMade(plan, record.uuid, state === 'gone', context, deps);
  deps.fault('provision.noted');
  const undo = undoOf(made, record.uuid, deps);
  try {
    await fetchImages(plan, images, context, deps);
    await makeDisks(plan, context, deps);
    await deps.host.files.makeDirectory(plan.directory, 0o700);
    deps.fault('provision.directory-made');
    if (plan.seedPath !== undefined) await deps.host.files.writeAtomic(plan.seedPath, seedOf(record), 0o600);
    deps.fault('provision.seed-written');
    context.signal.throwIfAborted();
    await deps.definitions.ensure(record.uuid, plan.xml);
    deps.fault('provision.defined');
    if (record.spec.autostart === true) await deps.hypervisor.setAutostart(record.uuid, true);
    undo.commit();
  } catch (error) {
    for (const failure of await undo.unwind())
      deps.log.error({ err: failure.error, vm: record.id, what: failure.what }, 'could not be taken back');
    deps.fault('provision.undone');
    throw error;
  }
  refreshLater(plan.pools, deps);
  return Object.fromEntries(plan.volumes.map((volume) => [`volume.${volume.diskName}`, volume.path]));
}

type Made = { readonly kind: 'file' | 'directory' | 'domain'; readonly path: string };

/**
 * What is not there yet will be ours to take back. It is written down before the first of it is made, so that after a crash
 * the next run can tell its own files from those that hold a VM's data (which it must never remove).
 */
async function noteWhatIsMade(
  plan: VmPlan,
  uuid: string,
  newDomain: boolean,
  context: CommandContext,
  deps: DriverDeps,
): Promise<readonly Made[]> {
  const [note] = context.notes;
  if (note !== undefined) return JSON.parse(note) as Made[];
  const files = plan.volumes.filter(isMade).map((volume) => volume.path);
  const candidates: Made[] = [
    ...[...files, ...(plan.seedPath === undefined ? [] : [plan.seedPath])].map(
      (path) => ({ kind: 'file', path }) as const,
    ),
    { kind: 'directory', path: plan.directory },
  ];
  const made: Made[] = newDomain ? [{ kind: 'domain', path: uuid }] : [];
  for (const one of candidates) if (!(await deps.host.files.exists(one.path))) made.push(one);
  await context.note(JSON.stringify(made));
  return made;
}

function undoOf(made: readonly Made[], uuid: string, deps: DriverDeps): UndoStack {
  const { files } = deps.host;
  const undo = new UndoStack();
  // The domain goes first, so that nothing defined points at a missing file.
  const order = [...made].sort((a, b) => Number(a.kind === 'domain') - Number(b.kind === 'domain'));
  for (const { kind, path } of order) {
    if (kind === 'domain') undo.push('domain', () => unless(['NOT_FOUND'], () => deps.hypervisor.undefineDomain(uuid)));
    else if (kind === 'directory') undo.push(path, () => files.removeTree(path));
    else
      undo.push(path, async () => {
        await files.remove(`${path}.tmp`);
        await files.remove(path);
      });
  }
  return undo;
}

export async function fetchImages(
  plan: VmPlan,
  images: readonly ImageRef[],
  context: CommandContext,
  deps: DriverDeps,
): Promise<void> {
  for (const [index, step] of plan.images.entries()) {
    const image = images.find((one) => one.id === step.imageId);
    if (image === undefined) throw new OstlerError('NOT_FOUND', `There is no image ${step.imageId}.`);
    const progress = (percent: number): void => {
      const share = (index + percent / 100) / plan.images.length;
      context.progress(Math.floor(share * IMAGES_PERCENT), `fetching image ${image.id}: ${percent} %`);
    };
    await deps.images.ensure(step.path, image, progress, context.signal);
    deps.fault('provision.image-there');
  }
}

async function makeDisks(plan: VmPlan, context: CommandContext, deps: DriverDeps): Promise<void> {
  const from = plan.images.length === 0 ? 0 : IMAGES_PERCENT;
  for (const [index, volume] of plan.volumes.entries()) {
    context.signal.throwIfAborted();
    if (!isMade(volume)) continue;
    const progress: CommandContext['progress'] = (percent, detail) => {
      const share = (index + percent / 100) / plan.volumes.length;
      context.progress(Math.floor(from + share * (DISKS_PERCENT - from)), detail);
    };
    progress(0, `making disk ${volume.diskName}`);
    await makeDisk(volume, { signal: context.signal, progress }, deps);
    deps.fault('provision.disk-created');
  }
}

/** An ISO is the image itself, and an existing volume was there before. */
export function isMade(volume: VolumeStep): boolean {
  return volume.kind !== 'iso' && volume.kind !== 'existing';
}

/** A file under its own name is whole: an interrupted attempt left it under another one. */
export async function makeDisk(
  volume: VolumeStep,
  context: Pick<CommandContext, 'signal' | 'progress'>,
  deps: DriverDeps,
): Promise<void> {
  const { qemuImg, files } = deps.host;
  const { path, sizeBytes, backing } = volume;
  const there = await files.exists(path);
  if (volume.kind === 'full' && backing !== undefined) {
    const copy = { from: backing.path, fromFormat: backing.format, to: path, toFormat: 'qcow2' } as const;
    const progress = (percent: number): void =>
      context.progress(percent, `copying disk ${volume.diskName}: ${percent} %`);
    if (!there) await qemuImg.convert(copy, progress, context.signal);
    deps.fault('provision.disk-copied');
    const { virtualSizeBytes } = await qemuImg.info(path);
    if (virtualSizeBytes < sizeBytes) await qemuImg.resize(path, 'qcow2', sizeBytes);
  } else if (!there) {
    await qemuImg.create({ path, format: 'qcow2', sizeBytes, ...(backing === undefined ? {} : { backing }) });
  }
}

/** For people who look with virsh; nothing of ours depends on it. */
export function refreshLater(pools: readonly string[], deps: DriverDeps): void {
  for (const pool of pools)
    deps.hypervisor
      .refreshPool(pool)
      .catch((error: unknown) => deps.log.debug({ err: error, pool }, 'pool not refreshed'));
}
