import { toOstlerError } from '../../proto/kit/errors.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { HostVolume } from '../../proto/model/volume.js';
import type { volumeService } from '../../proto/services.js';
import { placeOf, volumeUser } from '../core/volumes.js';
import type { ClusterView, HostEntry } from '../core/view.js';
import type { Agents } from '../engine/env.js';
import type { Store } from '../store/store.js';
import type { ApiHandlers, Call } from './call.js';
import { requireHost } from './lookup.js';

export interface VolumesDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly view: () => ClusterView;
}

/** The volume service: the hosts say what lies in their pools, the records say whose it is. */
export function createVolumes(deps: VolumesDeps): ApiHandlers<(typeof volumeService)['methods']> {
  return {
    listVolumes: async ({ host, pool, free }, call) => {
      const only = host === '' ? undefined : requireHost(deps.store, host).id;
      const hosts = [...deps.view().hosts()]
        .filter((one) => only === undefined || one.id === only)
        .sort((a, b) => (a.name < b.name ? -1 : 1));
      const missing: Record<string, string> = {};
      const answers = await Promise.all(hosts.map((one) => ask(one, call, missing, deps)));
      const volumes = merged(hosts, answers, deps)
        .filter((one) => pool === '' || one.pool === pool)
        .filter((one) => !free || (one.usedBy === '' && one.problem === ''));
      return { volumes, missing };
    },
  };
}

/** A host that cannot be asked is said to be missing: its volumes may be the ones looked for. */
async function ask(
  host: HostEntry,
  call: Call,
  missing: Record<string, string>,
  { agents }: VolumesDeps,
): Promise<readonly HostVolume[]> {
  try {
    return await agents.listVolumes(host.id, call.signal);
  } catch (error) {
    missing[host.name] = toOstlerError(error).message;
    return [];
  }
}

/** A file that several hosts see is one volume, and in use when any of them, or any record, has it. */
function merged(
  hosts: readonly HostEntry[],
  answers: readonly (readonly HostVolume[])[],
  deps: VolumesDeps,
): ostler.v1.Volume.$Properties[] {
  const view = deps.view();
  const byPlace = new Map<string, ostler.v1.Volume.$Properties>();
  hosts.forEach((host, index) => {
    for (const volume of answers[index] ?? []) {
      const place = placeOf(host, volume.pool, volume.name);
      const user = volumeUser(volume, host, view)?.vmName ?? userName(volume.usedBy, deps);
      const seen = byPlace.get(place);
      if (seen !== undefined) {
        if (user !== '') byPlace.set(place, { ...seen, usedBy: user });
        continue;
      }
      const names = { host: host.id, hostName: host.name, usedBy: user, fromVmName: vmName(volume.fromVm, deps) };
      byPlace.set(place, { ...volume, ...names });
    }
  });
  return [...byPlace.values()];
}

/** A domain of ours is called by its VM's id. */
function userName(domain: string, deps: VolumesDeps): string {
  return domain === '' ? '' : vmName(domain, deps) || domain;
}

function vmName(id: string, { store }: VolumesDeps): string {
  return id === '' ? '' : (store.get('vm', id)?.value.record.name ?? '');
}
