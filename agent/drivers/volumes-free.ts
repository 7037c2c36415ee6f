import { OstlerError } from '../../proto/kit/errors.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { VolumeStep } from '../core/volume-plan.js';
import type { ImageInfo } from '../host.js';
import type { DriverDeps } from './deps.js';
import { volumeUsers } from './volume-users.js';

/**
 * C-076: a volume that was there before must be there, be what its name says, stand on nothing that is not ours, and be
 * nobody else's disk on this host. QEMU's lock keeps two running VMs apart even across hosts; this one says it beforehand.
 */
export async function assertVolumesFree(
  record: VmRecord,
  volumes: readonly VolumeStep[],
  deps: Pick<DriverDeps, 'host' | 'hypervisor' | 'pools'>,
): Promise<void> {
  const existing = volumes.filter((volume) => volume.kind === 'existing');
  if (existing.length === 0) return;
  for (const volume of existing) await assertUsable(volume, deps);
  const users = await volumeUsers(deps, record.uuid);
  for (const { path } of existing) {
    const user = users.get(path);
    if (user === undefined) continue;
    throw new OstlerError('IN_USE', `The volume ${path} is a disk of ${user.name}.`, {
      field: 'spec.disks',
      remedy: 'Take it out of that VM first.',
      metadata: { path, vm: user.name },
    });
  }
}

/** What a volume's name says it is. */
export function formatOf(name: string): 'qcow2' | 'raw' {
  return name.endsWith('.qcow2') ? 'qcow2' : 'raw';
}

/** Why a file of a pool can be no disk, as the end of a sentence; undefined: it can. */
export function volumeComplaint(
  info: ImageInfo,
  format: 'qcow2' | 'raw',
  directories: readonly string[],
): string | undefined {
  if (info.format !== format) return `is of format ${info.format}, by its name ${format}`;
  if (info.dataFile !== undefined) return `keeps its data in ${JSON.stringify(info.dataFile)}`;
  const { backingFile } = info;
  if (backingFile === undefined) return undefined;
  const at = backingFile.lastIndexOf('/');
  return directories.includes(backingFile.slice(0, at)) ? undefined : `stands on ${JSON.stringify(backingFile)}`;
}

async function assertUsable(volume: VolumeStep, { host, pools }: Pick<DriverDeps, 'host' | 'pools'>): Promise<void> {
  const { path, format } = volume;
  const field = 'spec.disks';
  if (!(await host.files.exists(path)))
    throw new OstlerError('NOT_FOUND', `There is no volume ${path}.`, {
      field,
      remedy: 'See what there is: `ostler volume list --free`.',
      metadata: { path },
    });
  const complaint = volumeComplaint(await host.qemuImg.info(path), format, await pools.directories());
  if (complaint === undefined) return;
  throw new OstlerError('BAD_IMAGE', `The volume ${path} ${complaint}.`, { field, metadata: { path } });
}
