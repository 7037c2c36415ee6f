import { OstlerError } from '../../proto/kit/errors.js';
import { rootDisk, type VmRecord } from '../../proto/model/vm.js';
import type { Command, CommandContext, Facts } from '../command.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { diskTargets } from '../core/disk-target.js';
import { readDomain } from '../xml/read-domain.js';
import { planVm, type VmPlan } from './definition.js';
import type { DriverDeps } from './deps.js';
import { isActive, refuseSavedMemory, stateOf } from './domain-state.js';
import { fetchImages, refreshLater } from './provision.js';
import { noteRenewedDisk, refuseDiskInSnapshot } from './snapshots/guard.js';
import { settleForStart } from './snapshots/start.js';

/**
 * M-036, M-037: the root disk of a VM that is off is made anew from the record's image, then the domain from the record.
 * The new file takes the old one's name in one step: until then the old disk is whole, and a failure changes nothing.
 */
export async function rebuildRoot(
  command: Command<'rebuild-root'>,
  context: CommandContext,
  deps: DriverDeps,
): Promise<Facts> {
  const { record, images } = command.body;
  const { hypervisor, fault } = deps;
  await requireOff(record, deps);
  await settleForStart(record, (await stateOf(hypervisor, record.uuid)).state !== 'gone', context, deps);
  const plan = await planVm(record, images, { room: true }, deps);
  const root = rootVolume(record, plan);
  await refuseDiskInSnapshot(record, root.diskName, deps);
  await refuseChain(record, root, deps);
  await fetchImages(plan, images, context, deps);
  fault('rebuild-root.images-there');
  context.signal.throwIfAborted();
  await replaceDisk(root, context, deps);
  fault('rebuild-root.replaced');
  await noteRenewedDisk(record, root.diskName, context, deps);
  await hypervisor.defineDomain(plan.xml);
  fault('rebuild-root.defined');
  refreshLater(plan.pools, deps);
  return { [`volume.${root.diskName}`]: root.path };
}

async function requireOff(record: VmRecord, { hypervisor }: DriverDeps): Promise<void> {
  const { state, reason } = await stateOf(hypervisor, record.uuid);
  const remedy = 'Stop it first.';
  if (isActive(state))
    throw new OstlerError('WRONG_STATE', `${record.id} is ${state} (${reason}).`, { remedy, metadata: { state } });
  if (state !== 'gone') await refuseSavedMemory(record, hypervisor);
}

export function rootVolume(record: VmRecord, plan: VmPlan): VolumeStep {
  const root = rootDisk(record.spec);
  const volume = plan.volumes.find((one) => one.diskName === root?.name);
  if (volume !== undefined) return volume;
  throw new OstlerError('UNSUPPORTED', `${record.id} has no root disk, only CD-ROMs.`);
}

/** A disk that other files stand on, or that is not the file that we made, is not ours to throw away. */
export async function refuseChain(record: VmRecord, root: VolumeStep, { hypervisor }: DriverDeps): Promise<void> {
  const { state } = await stateOf(hypervisor, record.uuid);
  if (state === 'gone') return;
  const dev = diskTargets(record.spec.disks).get(root.diskName)?.dev;
  const present = readDomain(await hypervisor.domainXml(record.uuid, { inactive: true })).disks;
  const source = present.find((disk) => disk.dev === dev)?.source;
  if (source === undefined || source === root.path) return;
  throw new OstlerError('WRONG_STATE', `The root disk of ${record.id} is ${source}, on top of other files.`, {
    remedy: 'Delete its snapshots first.',
    metadata: { path: source },
  });
}

/** The old content is there until the new one is whole. */
export async function replaceDisk(root: VolumeStep, context: CommandContext, deps: DriverDeps): Promise<void> {
  const { qemuImg } = deps.host;
  const { path, sizeBytes, backing } = root;
  context.progress(80, `making disk ${root.diskName} anew`);
  if (root.kind !== 'full' || backing === undefined) {
    await qemuImg.create({ path, format: 'qcow2', sizeBytes, ...(backing === undefined ? {} : { backing }) });
    return;
  }
  const copy = { from: backing.path, fromFormat: backing.format, to: path, toFormat: 'qcow2' } as const;
  await qemuImg.convert(
    copy,
    (percent) => context.progress(percent, `copying the image: ${percent} %`),
    context.signal,
  );
  deps.fault('rebuild-root.copied');
  if ((await qemuImg.info(path)).virtualSizeBytes < sizeBytes) await qemuImg.resize(path, 'qcow2', sizeBytes);
}
