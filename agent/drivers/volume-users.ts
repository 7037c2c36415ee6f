import { OstlerError } from '../../proto/kit/errors.js';
import { parseRecord } from '../xml/metadata.js';
import { readDomain, type DomainData } from '../xml/read-domain.js';
import { XmlError } from '../xml/xml-error.js';
import type { DriverDeps } from './deps.js';

type UserDeps = Pick<DriverDeps, 'hypervisor' | 'pools'>;

/** Domains of this host by the files that they have: of the running domain, of its definition, and of its record. */
export async function volumeUsers(
  deps: UserDeps,
  except?: string,
): Promise<ReadonlyMap<string, { readonly uuid: string; readonly name: string }>> {
  const users = new Map<string, { readonly uuid: string; readonly name: string }>();
  const directories = await poolDirectories(deps);
  for (const { uuid, name } of await deps.hypervisor.listDomains()) {
    if (uuid === except) continue;
    for (const inactive of [false, true]) {
      const data = await dataOf(uuid, inactive, deps);
      if (data === undefined) continue;
      for (const { source } of data.disks) if (source !== undefined) users.set(source, { uuid, name });
      for (const path of recorded(data, directories, deps)) users.set(path, { uuid, name });
    }
  }
  return users;
}

async function poolDirectories({ pools }: UserDeps): Promise<ReadonlyMap<string, string>> {
  return new Map((await pools.list()).map((pool) => [pool.name, pool.path.replace(/\/$/, '')]));
}

/** With snapshots the domain stands on overlays, and only the record says on which volume those stand. */
function recorded(data: DomainData, directories: ReadonlyMap<string, string>, { pools }: UserDeps): string[] {
  const parsed = data.metadata === undefined ? undefined : parseRecord(data.metadata);
  if (parsed?.ok !== true) return [];
  return parsed.record.spec.disks.flatMap(({ volume, pool }) => {
    const directory = directories.get(pool === '' ? pools.defaultPool : pool);
    return volume === undefined || directory === undefined ? [] : [`${directory}/${volume}`];
  });
}

/** Undefined: it went away meanwhile, or is somebody else's in an XML that we do not read. QEMU's lock has the last word. */
async function dataOf(uuid: string, inactive: boolean, { hypervisor }: UserDeps): Promise<DomainData | undefined> {
  try {
    return readDomain(await hypervisor.domainXml(uuid, { inactive }));
  } catch (error) {
    if (error instanceof XmlError || (error instanceof OstlerError && error.code === 'NOT_FOUND')) return undefined;
    throw error;
  }
}
