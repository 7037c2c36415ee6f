import { OstlerError } from '../../proto/kit/errors.js';
import { NO_LIMITS, type DiskFacts } from '../core/domain-facts.js';
import { sizeOf } from '../core/domain-steps.js';
import type { Disk } from '../../proto/model/vm.js';
import { buildDiskXml } from '../xml/build-domain.js';
import { buildScsiControllerXml } from '../xml/build-memory.js';
import { factsNow, releaseDevice, releasedAfterAll, unhurried, type StepRun, type StepRunner } from './hotplug.js';
import { isMade, makeDisk } from './provision.js';
import { diskSerial, type DiskTarget } from '../core/disk-target.js';
import { asOstlerError } from './xml-errors.js';

export const makeVolume: StepRunner<'volume-make'> = async (step, run) => {
  const volume = run.volumes.get(step.disk.name);
  if (volume === undefined || !isMade(volume)) return;
  const image = run.change.images.find((one) => one.id === step.disk.image);
  const file = run.vm.images.find((one) => one.imageId === step.disk.image && one.pool === volume.pool);
  if (image !== undefined && file !== undefined)
    await run.deps.images.ensure(
      file.path,
      image,
      (percent) => run.context.progress(percent, `fetching image ${image.id}: ${percent} %`),
      run.context.signal,
    );
  await makeDisk(volume, run.context, run.deps);
};

export const attachScsi: StepRunner<'scsi-attach'> = async (_step, { change, deps }) => {
  // An empty controller disturbs nobody, so it stays when a later step fails.
  await deps.hypervisor.attachDevice(change.record.uuid, buildScsiControllerXml());
};

/** C-114: the guest sees it at once. */
export const attachDisk: StepRunner<'disk-attach'> = async ({ disk, target, field }, run) => {
  const { deps, change, undo } = run;
  const { uuid } = change.record;
  // Pushed first: a call whose answer is lost may have done its work.
  undo.push(`disk ${disk.name}`, async () => {
    const present = await presentDisk(disk, run);
    if (present === undefined) return;
    await releaseDevice({ what: `disk ${disk.name}`, alias: present.alias, field }, unhurried(run));
  });
  await deps.hypervisor.attachDevice(uuid, diskXml(disk, target, run));
  deps.fault('hotplug.disk-plugged');
};

/** C-114, M-113: waits until the guest has let it go; its volume is somebody else's step. */
export const detachDisk: StepRunner<'disk-detach'> = async ({ disk, alias, field, dev }, run) => {
  const { deps, change, live, undo } = run;
  const before = live?.disks.find((one) => one.dev === dev);
  undo.push(`disk ${disk.name}`, async () => {
    if (before?.path === undefined) return;
    if (!(await releasedAfterAll(async () => (await presentDisk(disk, run)) !== undefined, run))) return;
    const target = { dev, bus: disk.bus, address: before.address };
    const source = { path: before.path, format: before.path.endsWith('.qcow2') ? 'qcow2' : 'raw' } as const;
    const options = { source, target, diskCache: cacheOf(run) };
    const xml = asOstlerError(() => buildDiskXml(change.previous, disk, options));
    await deps.hypervisor.attachDevice(change.record.uuid, xml);
  });
  await releaseDevice({ what: `disk ${disk.name}`, alias, field }, run);
};

async function presentDisk({ name }: Disk, { deps, change }: StepRun): Promise<DiskFacts | undefined> {
  const { disks } = await factsNow(change.record.uuid, deps);
  return disks.find((one) => one.serial === diskSerial(name));
}

/** M-033, C-117: the guest is told of the new size; its partitions and file systems are its own. Nothing shrinks again. */
export const growDisk: StepRunner<'disk-grow'> = async ({ disk, dev }, run) => {
  const { deps, change } = run;
  const { uuid } = change.record;
  if (dev === '') {
    const path = run.vm.volumes.find((volume) => volume.diskName === disk.name)?.path;
    if (path === undefined) throw new OstlerError('INTERNAL', `The disk ${disk.name} has no volume.`);
    const { format, virtualSizeBytes } = await deps.host.qemuImg.info(path);
    if (virtualSizeBytes < disk.sizeBytes) await deps.host.qemuImg.resize(path, format, disk.sizeBytes);
    return;
  }
  // QEMU would shrink it as readily: larger than asked for is left alone.
  if ((await deps.hypervisor.blockCapacity(uuid, dev)) >= disk.sizeBytes) return;
  await deps.hypervisor.resizeBlock(uuid, dev, disk.sizeBytes);
  run.facts[`size.${disk.name}`] = sizeOf(disk.sizeBytes);
};

export const limitDisk: StepRunner<'disk-limit'> = async ({ disk, dev, limits }, { deps, change, live, undo }) => {
  const { uuid } = change.record;
  const before = live?.disks.find((one) => one.dev === dev)?.limits ?? NO_LIMITS;
  undo.push(`limits of ${disk.name}`, () => deps.hypervisor.setBlockLimits(uuid, dev, before));
  await deps.hypervisor.setBlockLimits(uuid, dev, limits);
};

export const changeMedium: StepRunner<'medium'> = async ({ disk, dev }, run) => {
  const { deps, change, live, undo } = run;
  const { uuid } = change.record;
  const drive = live?.disks.find((one) => one.dev === dev);
  const volume = run.volumes.get(disk.name);
  const image = change.images.find((one) => one.id === disk.image);
  if (volume !== undefined && image !== undefined)
    await deps.images.ensure(
      volume.path,
      image,
      (percent) => run.context.progress(percent, `fetching image ${image.id}: ${percent} %`),
      run.context.signal,
    );
  const target = { dev, bus: disk.bus, address: drive?.address };
  const xmlOf = (path: string | undefined): string =>
    asOstlerError(() =>
      buildDiskXml(change.record, disk, {
        source: path === undefined ? undefined : { path, format: 'raw' },
        target,
      }),
    );
  undo.push(`medium of ${disk.name}`, () => deps.hypervisor.updateDevice(uuid, xmlOf(drive?.path)));
  await deps.hypervisor.updateDevice(uuid, xmlOf(volume?.path));
};

function diskXml(disk: Disk, target: DiskTarget, run: StepRun): string {
  const volume = run.volumes.get(disk.name);
  if (volume === undefined) throw new OstlerError('INTERNAL', `The disk ${disk.name} has no volume.`);
  const { path, format } = volume;
  const options = { source: { path, format }, target, diskCache: cacheOf(run) };
  return asOstlerError(() => buildDiskXml(run.change.record, disk, options));
}

/** As the VM's other disks are opened. */
function cacheOf(run: StepRun): 'none' | 'writeback' {
  return run.vm.xml.includes('cache="writeback"') ? 'writeback' : 'none';
}
