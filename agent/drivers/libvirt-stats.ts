import { domainStateOf } from '../core/domain-state.js';
import type { DomainStats } from '../hypervisor.js';
import { STATS, type DomainStats as Record, type Metrics } from '../libvirt/index.js';

/** What the metrics need and nothing that costs QEMU more (per-CPU times, I/O threads, dirty rates). */
export const STATS_GROUPS = STATS.STATE | STATS.CPU_TOTAL | STATS.BALLOON | STATS.VCPU | STATS.INTERFACE | STATS.BLOCK;

const KIB = 1024;

export function toDomainStats({ dom, stats }: Record): DomainStats {
  const number = (name: string): number => numberOf(stats, name) ?? 0;
  return {
    uuid: dom.uuid,
    state: domainStateOf(number('state.state'), number('state.reason')).state,
    cpuTimeNs: BigInt(Math.round(number('cpu.time'))),
    vcpus: number('vcpu.current'),
    balloonBytes: number('balloon.current') * KIB,
    memoryUsedBytes: guestMemory(stats),
    residentBytes: number('balloon.rss') * KIB,
    blockReadBytes: sum(stats, 'block', 'rd.bytes'),
    blockWriteBytes: sum(stats, 'block', 'wr.bytes'),
    netReceiveBytes: sum(stats, 'net', 'rx.bytes'),
    netTransmitBytes: sum(stats, 'net', 'tx.bytes'),
  };
}

/** `usable` is what the guest's kernel calls available; without it (old drivers) what is not free counts as used. */
function guestMemory(stats: Metrics): number | undefined {
  const available = numberOf(stats, 'balloon.available');
  const free = numberOf(stats, 'balloon.usable') ?? numberOf(stats, 'balloon.unused');
  return available === undefined || free === undefined ? undefined : Math.max(0, available - free) * KIB;
}

/** Over all devices: `block.0.rd.bytes`, `block.1.rd.bytes` … */
function sum(stats: Metrics, group: string, field: string): number {
  const count = numberOf(stats, `${group}.count`) ?? 0;
  let total = 0;
  for (let index = 0; index < count; index++) total += numberOf(stats, `${group}.${index}.${field}`) ?? 0;
  return total;
}

function numberOf(stats: Metrics, name: string): number | undefined {
  const value = stats.get(name);
  return typeof value === 'number' ? value : undefined;
}
