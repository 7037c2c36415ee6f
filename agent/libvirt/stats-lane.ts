/**
 * Bulk statistics. A QEMU that is stopped blocks them for 30 s, and NOWAIT alone does not help: the call that is first
 * into the frozen monitor hangs itself. So: a connection of their own, a deadline per poll; after a poll that got stuck
 * the next ones go over a fresh connection with NOWAIT, which skips the domains whose job lock the stuck one still holds.
 * After a while one poll tries without, as NOWAIT also skips domains that are merely busy. Whether a guest lives is told
 * by state-only statistics (`STATS.STATE`), which never wait.
 */
import type { Connection } from './connection.js';
import { ConnectionError } from './errors.js';
import type { Domain } from './objects.js';
import type { Metrics } from './typed-params.js';

/** VIR_CONNECT_GET_ALL_DOMAINS_STATS_NOWAIT */
const NOWAIT = 1 << 29;
/** Answered polls with NOWAIT before one without: at a poll every 10 s a frozen guest costs one sample in five minutes. */
const CAREFUL_POLLS = 30;

export interface StatsQuery {
  /** Groups, a sum of STATS values; 0 for everything the daemon has. */
  readonly stats: number;
  /** The domains asked for; left out, all that `flags` choose (LIST_DOMAINS values). */
  readonly doms?: readonly Domain[];
  readonly flags?: number;
  /** Deadline in ms; 10,000. */
  readonly timeoutMs?: number;
}

export interface DomainStats {
  readonly dom: Domain;
  readonly stats: Metrics;
}

export interface StatsLane {
  poll(query: StatsQuery): Promise<DomainStats[]>;
}

export function createStatsLane(open: () => Promise<Connection>): StatsLane {
  let connection: Promise<Connection> | undefined;
  let carefulPolls = 0;

  const lane = async (): Promise<Connection> => {
    const seen = connection;
    const present = await seen?.catch(() => undefined);
    if (present?.alive === true) return present;
    // Polls that wait together share the new one.
    if (connection === seen || connection === undefined) connection = open();
    return connection;
  };
  const leave = async (c: Connection): Promise<void> => {
    c.close();
    const present = await connection?.catch(() => undefined);
    if (present === c) connection = undefined;
  };

  return {
    async poll(query) {
      const c = await lane();
      const flags = ((query.flags ?? 0) | (carefulPolls > 0 ? NOWAIT : 0)) >>> 0;
      try {
        const args = { doms: query.doms ?? [], stats: query.stats, flags };
        const { retStats } = await c.call('connectGetAllDomainStats', args, { timeoutMs: query.timeoutMs ?? 10_000 });
        if (carefulPolls > 0) carefulPolls--;
        return retStats;
      } catch (e) {
        if (e instanceof ConnectionError && e.code === 'TIMEOUT') {
          carefulPolls = CAREFUL_POLLS;
          // The daemon goes on with the stuck call, and with the domain's lock, until QEMU answers.
          await leave(c);
        }
        throw e;
      }
    },
  };
}
