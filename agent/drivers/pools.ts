import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { PoolFacts } from '../../proto/model/host.js';
import type { PoolConfig } from '../config.js';
import type { Host } from '../host.js';
import type { Hypervisor, StoragePool } from '../hypervisor.js';

/** libvirt's pool types whose volumes are plain files in one directory. Others are refused, with the reason. */
const DIRECTORY_TYPES: ReadonlySet<string> = new Set(['dir', 'fs', 'netfs']);
/** Paths of pools hardly ever change; a start must not pay for asking. */
const CACHE_MS = 15_000;

export interface Pools {
  /** Defines and starts what the config names. Call after every connection to libvirt. */
  ensureConfigured(): Promise<void>;
  /** The directory of a pool; the default pool for an empty name. NOT_FOUND, UNSUPPORTED, WRONG_STATE with the reason. */
  directory(name: string): Promise<string>;
  /** Directories of all usable file pools, each once. */
  directories(): Promise<readonly string[]>;
  facts(): Promise<readonly PoolFacts[]>;
  /** libvirt's list of volumes does not see our files by itself. Failures do not matter. */
  refreshed(): void;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Log;
}

export function createPools(config: { pools: readonly PoolConfig[]; defaultPool: string }, deps: Deps): Pools {
  const { hypervisor, host, clock, log } = deps;
  let cached: { readonly pools: readonly StoragePool[]; readonly time: number } | undefined;

  const list = async (fresh: boolean): Promise<readonly StoragePool[]> => {
    if (!fresh && cached !== undefined && clock.monotonic() - cached.time < CACHE_MS) return cached.pools;
    cached = { pools: await hypervisor.listPools(), time: clock.monotonic() };
    return cached.pools;
  };
  const find = async (name: string): Promise<StoragePool | undefined> => {
    const usable = (await list(false)).find((pool) => pool.name === name && pool.active);
    return usable ?? (await list(true)).find((pool) => pool.name === name);
  };

  return {
    async ensureConfigured() {
      for (const { name, path } of config.pools) await hypervisor.ensureDirPool(name, path);
      await list(true);
    },
    async directory(name) {
      const wanted = name === '' ? config.defaultPool : name;
      return directoryOf(wanted, await find(wanted));
    },
    async directories() {
      const usable = (await list(true)).filter((pool) => pool.active && isDirectory(pool));
      return [...new Set(usable.map((pool) => pool.path))];
    },
    async facts() {
      const pools = await list(true);
      return Promise.all(pools.map((pool) => poolFacts(pool, config.pools, host, log)));
    },
    refreshed() {
      cached = undefined;
    },
  };
}

function isDirectory(pool: StoragePool): boolean {
  return DIRECTORY_TYPES.has(pool.type) && pool.path.startsWith('/');
}

function directoryOf(name: string, pool: StoragePool | undefined): string {
  if (pool === undefined)
    throw new OstlerError('NOT_FOUND', `This host has no storage pool named ${name}.`, {
      remedy: 'Name another pool, or add it to `pools` in the agent’s config.',
      metadata: { pool: name },
    });
  if (!isDirectory(pool))
    throw new OstlerError('UNSUPPORTED', `Pool ${name} is of type ${pool.type}; this version keeps disks in directories.`, {
      remedy: 'Use a pool of type dir, fs or netfs.',
      metadata: { pool: name, type: pool.type },
    });
  if (!pool.active)
    throw new OstlerError('WRONG_STATE', `Pool ${name} is not active.`, {
      remedy: `Start it on the host with: virsh pool-start ${name}`,
      metadata: { pool: name },
    });
  return pool.path;
}

async function poolFacts(
  pool: StoragePool,
  configured: readonly PoolConfig[],
  host: Host,
  log: Log,
): Promise<PoolFacts> {
  const { name, type, path, active, capacityBytes, availableBytes } = pool;
  const base = { name, type, path, active, capacityBytes, availableBytes, shared: false, domain: '' };
  if (!active || !isDirectory(pool)) return base;
  try {
    const files = await host.files.statFs(path);
    const wish = configured.find((one) => one.name === name)?.shared ?? 'auto';
    const shared = wish === 'auto' ? files.network : wish === 'yes';
    const { capacityBytes, availableBytes } = files;
    return { ...base, capacityBytes, availableBytes, shared, domain: files.identity };
  } catch (error) {
    log.warn({ err: error, pool: name }, 'the file system of a pool does not answer');
    return base;
  }
}
