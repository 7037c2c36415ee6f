import { OstlerError } from '../../../proto/kit/errors.js';
import type { VmRecord } from '../../../proto/model/vm.js';
import type { CommandContext } from '../../command.js';
import { diskFileName } from '../../core/vm-files.js';
import { look } from './look.js';
import { openScene, readChain, type ChainDeps } from './scene.js';
import { settle } from './settle.js';

/**
 * Before a domain is rebuilt from its record: ends what was cut off, and refuses when the definition stands on a file that
 * is not ours. Somebody has made a snapshot by hand then; writing below it would ruin it. M-088
 */
export async function settleForStart(
  record: VmRecord,
  defined: boolean,
  context: CommandContext,
  deps: ChainDeps,
): Promise<void> {
  if (!(await disksAreThere(record, deps))) return;
  const scene = await openScene(record, context, deps);
  await settle(scene, { short: true });
  if (!defined) return;
  const { tops } = await look(scene);
  for (const [disk, file] of Object.entries(scene.doc.state.current)) {
    const top = tops[disk];
    if (top === undefined || top === file) continue;
    const path = top.startsWith('/') ? top : scene.path(top);
    // A definition that points nowhere holds nobody's data: it is rebuilt.
    if (!(await deps.host.files.exists(path))) continue;
    throw new OstlerError(
      'CHAIN_CHANGED',
      `Disk ${disk} of ${record.name} stands on ${path}, which is not a file of ours: it was changed from outside.`,
      {
        remedy: 'Merge that file with `virsh blockcommit`, or point the disk back at its file, then start it.',
        metadata: { disk, found: path, expected: scene.path(file) },
      },
    );
  }
}

/** The start itself says which file or pool is missing. */
async function disksAreThere(record: VmRecord, deps: ChainDeps): Promise<boolean> {
  const pools = await deps.pools.list();
  const chain = await readChain(record, pools, deps);
  for (const disk of record.spec.disks) {
    const name = disk.pool === '' ? deps.pools.defaultPool : disk.pool;
    const pool = pools.find((one) => one.name === name);
    if (pool?.active !== true) return false;
    if (disk.device === 'cdrom') continue;
    const file = chain?.state.current[disk.name] ?? disk.volume ?? diskFileName(record.id, disk.name);
    if (!(await deps.host.files.exists(`${pool.path.replace(/\/$/, '')}/${file}`))) return false;
  }
  return true;
}
