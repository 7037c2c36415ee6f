import type { Clock } from '../../proto/kit/clock.js';
import type { Log } from '../../proto/kit/log.js';
import type { PoolFacts } from '../../proto/model/host.js';
import type { PoolConfig } from '../config.js';
import type { Host } from '../host.js';
import type { Hypervisor, StoragePool } from '../hypervisor.js';

/** libvirt's pool types whose volumes are plain files in one directory. */
const DIRECTORY_TYPES: ReadonlySet<string> = new Set(['dir', 'fs', 'netfs']);
/** Paths of pools hardly ever change; a start must not pay for asking. */
const CACHE_MS = 15_000;

export interface Pool extends PoolFacts {
  /** Whether disks here can bypass the host's page cache. */
  readonly directIo: boolean;
}

export interface Pools {
  readonly defaultPool: string;
  /** Defines and starts what the config names. Call after every connection to libvirt. */
  ensureConfigured(): Promise<void>;
  /** All pools of the host; at most 15 s old unless `fresh`. */
  list(options?: { fresh?: boolean }): Promise<readonly Pool[]>;
  /** Directories of all usable file pools, each once. */
  directories(): Promise<readonly string[]>;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Log;
}

export function createPools(config: { pools: readonly PoolConfig[]; defaultPool: string }, deps: Deps): Pools {
  const { hypervisor, clock } = deps;
  let cached: { readonly pools: readonly Pool[]; readonly time: number } | undefined;

  const list: Pools['list'] = async ({ fresh = false } = {}) => {
    if (!fresh && cached !== undefined && clock.monotonic() - cached.time < CACHE_MS) return cached.pools;
    const found = await hypervisor.listPools();
    const pools = await Promise.all(found.map((pool) => describe(pool, config.pools, deps)));
    cached = { pools, time: clock.monotonic() };
    return pools;
  };

  return {
    defaultPool: config.defaultPool,
    async ensureConfigured() {
      for (const { name, path } of config.pools) await hypervisor.ensureDirPool(name, path);
      cached = undefined;
    },
    list,
    async directories() {
      const usable = (await list({ fresh: true })).filter(isUsable);
      return [...new Set(usable.map((pool) => pool.path))];
    },
  };
}

function isUsable(pool: Pick<StoragePool, 'active' | 'type' | 'path'>): boolean {
  return pool.active && DIRECTORY_TYPES.has(pool.type) && pool.path.startsWith('/');
}

async function describe(pool: StoragePool, configured: readonly PoolConfig[], deps: Deps): Promise<Pool> {
  const { name, type, path, active, capacityBytes, availableBytes } = pool;
  const base = { name, type, path, active, capacityBytes, availableBytes, shared: false, domain: '', directIo: true };
  if (!isUsable(pool)) return base;
  try {
    const files = await deps.host.files.statFs(path);
    const wish = configured.find((one) => one.name === name)?.shared ?? 'auto';
    return {
      ...base,
      // libvirt's figures are as old as the pool's last refresh.
      capacityBytes: files.capacityBytes,
      availableBytes: files.availableBytes,
      shared: wish === 'auto' ? files.network : wish === 'yes',
      domain: files.identity,
      directIo: files.directIo,
    };
  } catch (error) {
    deps.log.warn({ err: error, pool: name }, 'the file system of a pool does not answer');
    return { ...base, active: false };
  }
}
