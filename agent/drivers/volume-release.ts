import type { Disk, VmRecord } from '../../proto/model/vm.js';
import { parseFileName, releasedFileName } from '../core/vm-files.js';
import { diskPath } from './definition.js';
import type { StepRun, StepRunner } from './hotplug.js';
import type { Pool } from './pools.js';
import { forgetLeftDisks } from './snapshots/guard.js';
import { readChain } from './snapshots/scene.js';

/**
 * The volume of a disk that is gone. Kept, it gets a name that is no VM's, so that neither a new disk of the same name nor
 * the end of the VM touches it; a volume that was there before the disk keeps its own.
 */
export const releaseVolume: StepRunner<'volume-release'> = async ({ disk, remove }, run) => {
  const { change, context, deps } = run;
  const pools = await deps.pools.list();
  await releaseFile(disk, remove, pools, run);
  deps.fault('hotplug.volume-released');
  // Last: until then what is written down tells which file it was.
  await forgetLeftDisks(change.record, context, deps);
};

async function releaseFile(disk: Disk, remove: boolean, pools: readonly Pool[], run: StepRun): Promise<void> {
  const { change, deps, facts } = run;
  const { files } = deps.host;
  const name = disk.pool === '' ? deps.pools.defaultPool : disk.pool;
  const directory = pools.find((pool) => pool.name === name)?.path ?? '';
  const overlay = await overlayOf(change.previous, disk, pools, run);
  const own = overlay === undefined ? diskPath(directory, change.record.id, disk.name) : `${directory}/${overlay}`;
  const given = overlay === undefined ? disk.volume : undefined;
  const path = given === undefined ? own : `${directory}/${given}`;
  if (!(await files.exists(path))) return;
  if (remove) {
    await files.remove(path);
    facts[`removed.${disk.name}`] = path;
    return;
  }
  if (given !== undefined) {
    facts[`kept.${disk.name}`] = given;
    return;
  }
  let number = 1;
  while (await files.exists(`${directory}/${releasedFileName(change.record.id, disk.name, number)}`)) number += 1;
  const kept = releasedFileName(change.record.id, disk.name, number);
  await files.rename(path, `${directory}/${kept}`);
  facts[`kept.${disk.name}`] = kept;
}

/** A disk that snapshots were taken of may stand on a file of another name. */
async function overlayOf(
  record: VmRecord,
  disk: Disk,
  pools: readonly Pool[],
  { deps }: StepRun,
): Promise<string | undefined> {
  const file = (await readChain(record, pools, deps))?.state.current[disk.name];
  return file !== undefined && parseFileName(file)?.kind === 'overlay' ? file : undefined;
}
