import type { DomainState } from '../../proto/model/host.js';
import type { DomainSummary } from '../hypervisor.js';

interface Deps {
  readonly listDomains: () => Promise<readonly DomainSummary[]>;
  /** What is known, by UUID. */
  readonly known: () => ReadonlyMap<string, DomainState>;
  readonly catchUp: (uuid: string) => Promise<void>;
}

/**
 * Finds what no event has told: libvirt is silent about a QEMU that died while libvirt itself was starting. A domain that
 * differs from what is known in the same way at two looks in a row is caught up with; at one, its event may be on its way.
 */
export function createSweep(deps: Deps): () => Promise<void> {
  let differing: ReadonlyMap<string, DomainState> = new Map();
  return async () => {
    const states = new Map((await deps.listDomains()).map(({ uuid, state }) => [uuid, state]));
    const known = deps.known();
    const now = new Map<string, DomainState>();
    for (const uuid of new Set([...states.keys(), ...known.keys()])) {
      const state = states.get(uuid) ?? 'gone';
      if (known.get(uuid) === state) continue;
      if (differing.get(uuid) === state) await deps.catchUp(uuid);
      else now.set(uuid, state);
    }
    differing = now;
  };
}
