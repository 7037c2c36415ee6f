import { OstlerError } from '../../proto/kit/errors.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { VolumeStep } from '../core/volume-plan.js';
import { readDomain } from '../xml/read-domain.js';
import type { DriverDeps } from './deps.js';

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
  for (const { uuid, name } of await deps.hypervisor.listDomains()) {
    if (uuid === record.uuid) continue;
    const used = await sourcesOf(uuid, deps);
    const clash = existing.find((volume) => used.has(volume.path));
    if (clash === undefined) continue;
    throw new OstlerError('IN_USE', `The volume ${clash.path} is a disk of ${name}.`, {
      field: 'spec.disks',
      remedy: 'Take it out of that VM first.',
      metadata: { path: clash.path, vm: name },
    });
  }
}

async function assertUsable(volume: VolumeStep, { host, pools }: Pick<DriverDeps, 'host' | 'pools'>): Promise<void> {
  const { path, format } = volume;
  const field = 'spec.disks';
  if (!(await host.files.exists(path)))
    throw new OstlerError('NOT_FOUND', `There is no volume ${path}.`, { field, metadata: { path } });
  const info = await host.qemuImg.info(path);
  const refuse = (why: string): never => {
    throw new OstlerError('BAD_IMAGE', `The volume ${path} ${why}.`, { field, metadata: { path } });
  };
  if (info.format !== format) refuse(`is of format ${info.format}, by its name ${format}`);
  if (info.dataFile !== undefined) refuse(`keeps its data in ${JSON.stringify(info.dataFile)}`);
  const { backingFile } = info;
  if (backingFile === undefined) return;
  const directories = await pools.directories();
  const at = backingFile.lastIndexOf('/');
  if (!directories.includes(backingFile.slice(0, at))) refuse(`stands on ${JSON.stringify(backingFile)}`);
}

/** Of the running domain and of its definition. */
async function sourcesOf(uuid: string, { hypervisor }: Pick<DriverDeps, 'hypervisor'>): Promise<ReadonlySet<string>> {
  const sources = new Set<string>();
  for (const inactive of [false, true]) {
    try {
      for (const { source } of readDomain(await hypervisor.domainXml(uuid, { inactive })).disks)
        if (source !== undefined) sources.add(source);
    } catch (error) {
      // It went away meanwhile, or is somebody else's in an XML that we do not read: QEMU's lock has the last word.
      if (error instanceof OstlerError && error.code !== 'NOT_FOUND') throw error;
    }
  }
  return sources;
}
