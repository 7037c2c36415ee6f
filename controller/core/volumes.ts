/** Whose a volume is: VMs name volumes of pools, and a pool that several hosts see is one place. */
import type { ErrorInfo } from './error-info.js';
import type { ClusterView, HostEntry, VolumeUse } from './view.js';
import type { VmRecord } from '../../proto/model/vm.js';

/** Equal for two volumes that are the same file. `pool` empty: the host's default one. */
export function placeOf(host: HostEntry, pool: string, volume: string): string {
  const name = pool === '' ? (host.facts?.defaultPool ?? '') : pool;
  const facts = host.facts?.pools.find((one) => one.name === name);
  // Without a file system that several hosts know, a pool is its host's alone.
  const domain = facts?.domain ?? '';
  return JSON.stringify(domain === '' ? [host.id, facts?.path ?? name, volume] : [domain, volume]);
}

/** The disk of any VM, running or not, here or on another host, that is this very file. */
export function volumeUser(
  volume: { readonly pool: string; readonly name: string },
  host: HostEntry,
  view: ClusterView,
): VolumeUse | undefined {
  const place = placeOf(host, volume.pool, volume.name);
  return view.volumeUses(volume.name).find((use) => {
    const at = view.host(use.hostId);
    return at !== undefined && placeOf(at, use.pool, use.volume) === place;
  });
}

/** C-076: the first volume of a record that is another VM's disk already. */
export function volumeTaken(record: VmRecord, host: HostEntry, view: ClusterView): VolumeUse | undefined {
  return taken(record, host, view)?.use;
}

/** The same as a refusal. */
export function volumeInUse(record: VmRecord, host: HostEntry, view: ClusterView): ErrorInfo | undefined {
  const found = taken(record, host, view);
  if (found === undefined) return undefined;
  const { vmName, vmId, disk, volume } = found.use;
  const field = `spec.disks[${found.index}].volume`;
  return {
    code: 'IN_USE',
    message: `${field}: ${volume} is a disk of ${vmName}.`,
    field,
    remedy: `Take it out of that VM first: \`ostler vm disk remove ${vmName} ${disk}\`; or expunge that VM.`,
    metadata: { vm: vmId },
  };
}

function taken(
  record: VmRecord,
  host: HostEntry,
  view: ClusterView,
): { readonly use: VolumeUse; readonly index: number } | undefined {
  for (const [index, { volume, pool }] of record.spec.disks.entries()) {
    if (volume === undefined) continue;
    const place = placeOf(host, pool, volume);
    const use = view.volumeUses(volume).find((one) => {
      const at = one.vmId === record.id ? undefined : view.host(one.hostId);
      return at !== undefined && placeOf(at, one.pool, volume) === place;
    });
    if (use !== undefined) return { use, index };
  }
  return undefined;
}
