import { releasedFileName } from '../core/vm-files.js';
import { diskPath } from './definition.js';
import type { StepRunner } from './hotplug.js';

/**
 * The volume of a disk that is gone. Kept, it gets a name that is no VM's, so that neither a new disk of the same name nor
 * the end of the VM touches it; a volume that was there before the disk keeps its own.
 */
export const releaseVolume: StepRunner<'volume-release'> = async ({ disk, remove }, { change, deps, facts }) => {
  const { files } = deps.host;
  const pools = await deps.pools.list();
  const name = disk.pool === '' ? deps.pools.defaultPool : disk.pool;
  const directory = pools.find((pool) => pool.name === name)?.path ?? '';
  const own = diskPath(directory, change.record.id, disk.name);
  const path = disk.volume === undefined ? own : `${directory}/${disk.volume}`;
  if (!(await files.exists(path))) return;
  if (remove) {
    await files.remove(path);
    facts[`removed.${disk.name}`] = path;
    return;
  }
  if (disk.volume !== undefined) {
    facts[`kept.${disk.name}`] = disk.volume;
    return;
  }
  let number = 1;
  while (await files.exists(`${directory}/${releasedFileName(change.record.id, disk.name, number)}`)) number += 1;
  const kept = releasedFileName(change.record.id, disk.name, number);
  await files.rename(path, `${directory}/${kept}`);
  facts[`kept.${disk.name}`] = kept;
};
