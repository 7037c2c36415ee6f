import type { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { toOstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { DomainReport } from '../../proto/model/host.js';
import type { Agents } from '../engine/env.js';
import { planRebuild, type HostRecords } from '../core/rebuild.js';
import type { ImageLibrary } from '../images/library.js';
import type { Store, Write } from '../store/store.js';
import { hostNameOf } from './wire/vm.js';

export type Rebuild = (validateOnly: boolean, signal: AbortSignal) => Promise<ostler.v1.RebuildResponse.$Properties>;

export interface RebuildDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly images: ImageLibrary;
  readonly clock: Clock;
  readonly log: Log;
  /** How long a destroyed VM can be undeleted, milliseconds. */
  readonly vmRetentionMs: number;
}

const ASK_MS = 30_000;
const BATCH = 100;

/**
 * Restores what the store lacks from what the hosts and the image folder have. Records that the store has are left alone: it
 * knows better than any host. Hosts need no restoring here: each is taken in again when its agent links up (see ca/).
 */
export function createRebuild(deps: RebuildDeps): Rebuild {
  return async (validateOnly, signal) => {
    const { store, images, clock, log } = deps;
    if (!validateOnly) await images.restore();
    const { answers, silent } = await askHosts(deps, signal);
    const plan = planRebuild({
      answers,
      known: new Set([...store.list('vm')].map(({ id }) => id)),
      names: new Map([...store.list('vm')].map(({ id, value }) => [value.record.name.toLowerCase(), id])),
      now: clock.now(),
      retentionMs: deps.vmRetentionMs,
    });
    if (!validateOnly) {
      const writes = plan.restored.map((vm): Write => ({ kind: 'vm', id: vm.record.id, expect: 0, put: vm }));
      for (let at = 0; at < writes.length; at += BATCH) await store.commit(writes.slice(at, at + BATCH));
      log.warn(
        { restored: writes.length, skipped: Object.keys(plan.skipped).length },
        'records rebuilt from the hosts',
      );
    }
    return {
      restored: plan.restored.map((vm) => vm.record.id),
      alreadyKnown: [...plan.alreadyKnown],
      skipped: { ...plan.skipped },
      hostsAsked: answers.map(({ hostName }) => hostName),
      hostsSilent: silent,
    };
  };
}

interface Asked {
  readonly answers: readonly HostRecords[];
  readonly silent: Record<string, string>;
}

async function askHosts({ store, agents }: RebuildDeps, signal: AbortSignal): Promise<Asked> {
  const ids = new Set([...store.list('host')].map(({ id }) => id));
  for (const { hostId } of agents.views()) ids.add(hostId);
  const silent: Record<string, string> = {};
  const limit = AbortSignal.any([signal, AbortSignal.timeout(ASK_MS)]);
  const answers = await Promise.all(
    [...ids].sort().map(async (hostId): Promise<HostRecords | undefined> => {
      const hostName = hostNameOf(store, hostId);
      const view = agents.view(hostId);
      if (view?.online !== true) {
        silent[hostName] = view?.reason ?? 'has not connected since this controller started';
        return undefined;
      }
      try {
        const { records, unreadable, domains } = await agents.listRecords(hostId, limit);
        return { hostId, hostName, records, unreadable, domains: byUuid(domains) };
      } catch (error) {
        silent[hostName] =
          limit.aborted && !signal.aborted ? 'did not answer within 30 s' : toOstlerError(error).message;
        return undefined;
      }
    }),
  );
  signal.throwIfAborted();
  return { answers: answers.filter((answer) => answer !== undefined), silent };
}

function byUuid(domains: readonly DomainReport[]): ReadonlyMap<string, DomainReport> {
  return new Map(domains.map((domain) => [domain.uuid, domain]));
}
