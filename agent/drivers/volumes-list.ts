import { toOstlerError } from '../../proto/kit/errors.js';
import { volumeNameSchema } from '../../proto/model/vm.js';
import type { HostVolume } from '../../proto/model/volume.js';
import { parseFileName, parseReleasedName } from '../core/vm-files.js';
import type { DriverDeps } from './deps.js';
import type { Pool } from './pools.js';
import { volumeUsers } from './volume-users.js';
import { formatOf, volumeComplaint } from './volumes-free.js';

type ListDeps = Pick<DriverDeps, 'hypervisor' | 'host' | 'pools'>;

/** Programs that look into files at a time. */
const LOOKERS = 4;

/**
 * C-076: what lies in the pools and is no VM's own file: volumes that removed disks left behind, and what other people put
 * there. Files of VMs and images have owners that are seen elsewhere.
 */
export async function listVolumes(deps: ListDeps): Promise<readonly HostVolume[]> {
  const pools = await deps.pools.list({ fresh: true });
  const directories = await deps.pools.directories();
  const users = await volumeUsers(deps);
  const found: { readonly pool: Pool; readonly name: string }[] = [];
  for (const pool of pools.filter((one) => directories.includes(one.path))) {
    const names = await deps.host.files.list(pool.path);
    for (const name of [...names].sort())
      if (volumeNameSchema.safeParse(name).success && parseFileName(name) === undefined) found.push({ pool, name });
  }
  const volumes: HostVolume[] = [];
  for (let at = 0; at < found.length; at += LOOKERS)
    volumes.push(
      ...(await Promise.all(
        found.slice(at, at + LOOKERS).map(({ pool, name }) => {
          const path = `${pool.path.replace(/\/$/, '')}/${name}`;
          return describe(path, name, { pool, directories, usedBy: users.get(path)?.name ?? '', deps });
        }),
      )),
    );
  return volumes;
}

async function describe(
  path: string,
  name: string,
  about: {
    readonly pool: Pool;
    readonly directories: readonly string[];
    readonly usedBy: string;
    readonly deps: ListDeps;
  },
): Promise<HostVolume> {
  const { pool, directories, usedBy, deps } = about;
  const from = parseReleasedName(name);
  const base = {
    ...{ pool: pool.name, name, usedBy, format: formatOf(name) },
    fromVm: from?.vmId ?? '',
    fromDisk: from?.diskName ?? '',
  };
  try {
    const info = await deps.host.qemuImg.info(path);
    const complaint = volumeComplaint(info, formatOf(name), directories);
    const problem = complaint === undefined ? '' : `It ${complaint}.`;
    return { ...base, sizeBytes: info.virtualSizeBytes, actualBytes: info.actualSizeBytes, problem };
  } catch (error) {
    // One file that cannot be read hides no other.
    const problem = toOstlerError(error).message.slice(0, 500);
    return { ...base, sizeBytes: 0, actualBytes: (await deps.host.files.size(path)) ?? 0, problem };
  }
}
