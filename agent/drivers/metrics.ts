import type { Clock } from '../../proto/kit/clock.js';
import type { Log } from '../../proto/kit/log.js';
import { runLoop } from '../../proto/kit/loop.js';
import { ratesBetween, type Rates } from '../core/rates.js';
import type { Host, HostSample } from '../host.js';
import type { DomainStats, Hypervisor } from '../hypervisor.js';
import { findAddresses } from './addresses.js';
import type { Observer } from './observe.js';

export interface VmSample extends Rates {
  /** As the guest says; the resident set of QEMU where it is silent. */
  readonly memoryUsedBytes: number;
}

export interface MetricsSample {
  /** Milliseconds since 1970. */
  readonly time: number;
  readonly host: HostSample;
  readonly vms: ReadonlyMap<string, VmSample>;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly observer: Observer;
  readonly clock: Clock;
  readonly log: Log;
  readonly onSample: (sample: MetricsSample) => void;
}

const IDLE: Rates = {
  cpuPercent: 0,
  diskReadBytesPerSecond: 0,
  diskWriteBytesPerSecond: 0,
  netReceiveBytesPerSecond: 0,
  netTransmitBytesPerSecond: 0,
};

/** Every interval: one bulk question to libvirt for all VMs, three files of /proc for the host, and the addresses. */
export function runMetrics(intervalMs: number, deps: Deps, signal: AbortSignal): Promise<void> {
  const { hypervisor, host, observer, clock, log, onSample } = deps;
  let before: { readonly time: number; readonly stats: ReadonlyMap<string, DomainStats> } | undefined;
  return runLoop({ name: 'metrics', intervalMs }, { clock, log, signal }, async () => {
    const [sample, list] = await Promise.all([host.sample(), statsOrNone(deps)]);
    const time = clock.monotonic();
    const vms = new Map<string, VmSample>();
    for (const now of list) {
      const last = before?.stats.get(now.uuid);
      const elapsed = before === undefined ? 0 : (time - before.time) / 1000;
      const rates = last === undefined ? undefined : ratesBetween(last, now, elapsed);
      vms.set(now.uuid, { ...(rates ?? IDLE), memoryUsedBytes: now.memoryUsedBytes ?? now.residentBytes });
    }
    before = { time, stats: new Map(list.map((one) => [one.uuid, one])) };
    onSample({ time: clock.now(), host: sample, vms });
    await refreshAddresses(observer, hypervisor, log);
  });
}

/** A libvirt that is away or stuck costs the VMs' figures, not the host's. */
async function statsOrNone({ hypervisor, log }: Deps): Promise<readonly DomainStats[]> {
  if (!hypervisor.connected) return [];
  try {
    return await hypervisor.allDomainStats();
  } catch (error) {
    log.warn({ err: error }, 'no statistics from libvirt this time');
    return [];
  }
}

/** One after the other: a guest agent that hangs must not use up libvirt's workers. */
async function refreshAddresses(observer: Observer, hypervisor: Hypervisor, log: Log): Promise<void> {
  for (const report of observer.inventory().domains) {
    if (!report.managed || report.state !== 'running' || !hypervisor.connected) continue;
    try {
      observer.setAddresses(report.uuid, await findAddresses(report, hypervisor));
    } catch (error) {
      log.debug({ err: error, uuid: report.uuid }, 'addresses not found out');
    }
  }
}
