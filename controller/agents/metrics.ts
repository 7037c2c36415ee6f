import type { ostler } from '../../proto/gen/ostler.js';

export type HostUsage = ostler.v1.HostUsage.$Properties;
export type VmUsage = ostler.v1.VmUsage.$Properties;

/** The last samples of hosts and VMs, and a short history; in memory only, gone with the controller. */
export interface Metrics {
  record(hostId: string, batch: ostler.v1.MetricsBatch.$Properties): void;
  hostUsage(hostId: string): HostUsage | undefined;
  /** By the VM's UUID. */
  vmUsage(hostId: string): ReadonlyMap<string, VmUsage>;
  /** Oldest first. */
  hostHistory(hostId: string): readonly HostUsage[];
  vmHistory(uuid: string): readonly VmUsage[];
  forget(hostId: string): void;
}

const NONE: ReadonlyMap<string, VmUsage> = new Map();

/** `samples`: how many are kept of each; default 90, a quarter of an hour at one in ten seconds. */
export function createMetrics(options: { readonly samples?: number } = {}): Metrics {
  const { samples = 90 } = options;
  const hosts = new Map<string, HostUsage[]>();
  const vms = new Map<string, VmUsage[]>();
  const latest = new Map<string, ReadonlyMap<string, VmUsage>>();

  function push<T>(history: Map<string, T[]>, key: string, sample: T): void {
    const ring = history.get(key) ?? [];
    ring.push(sample);
    if (ring.length > samples) ring.shift();
    history.set(key, ring);
  }

  function forgetVms(hostId: string, except: ReadonlyMap<string, VmUsage>): void {
    for (const uuid of latest.get(hostId)?.keys() ?? []) if (!except.has(uuid)) vms.delete(uuid);
  }

  return {
    record: (hostId, batch) => {
      if (batch.host !== null && batch.host !== undefined) push(hosts, hostId, batch.host);
      const samplesNow = new Map(Object.entries(batch.vms ?? {}));
      // A VM that is not in the batch does not run here any more.
      forgetVms(hostId, samplesNow);
      latest.set(hostId, samplesNow);
      for (const [uuid, sample] of samplesNow) push(vms, uuid, sample);
    },
    hostUsage: (hostId) => hosts.get(hostId)?.at(-1),
    vmUsage: (hostId) => latest.get(hostId) ?? NONE,
    hostHistory: (hostId) => hosts.get(hostId) ?? [],
    vmHistory: (uuid) => vms.get(uuid) ?? [],
    forget: (hostId) => {
      forgetVms(hostId, NONE);
      hosts.delete(hostId);
      latest.delete(hostId);
    },
  };
}
