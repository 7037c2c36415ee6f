import { ostler } from '../../../proto/gen/ostler.js';
import type { View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, bothTimes, relativeTime } from '../output/time.js';
import type { Tone } from '../output/text.js';
import { formatBytes, formatPercent } from '../output/units.js';

const { v1 } = ostler;
type Host = ostler.v1.Host.$Properties;

export function hostState(host: Host): string {
  const state = (v1.HostState[host.state ?? 0] ?? 'unknown').replace('HOST_STATE_', '');
  const word = state.toLowerCase().replaceAll('_', '-');
  return host.schedulable === false && host.state === v1.HostState.ONLINE ? `${word}, cordoned` : word;
}

export function toneOfHost(host: Host): Tone {
  if (host.state === v1.HostState.ONLINE) return host.schedulable === false ? 'busy' : 'good';
  return host.state === v1.HostState.PENDING_JOIN ? 'faint' : 'bad';
}

function poolLine(pool: ostler.v1.PoolFacts.$Properties): string {
  const free = `${formatBytes(pool.availableBytes ?? 0)} free of ${formatBytes(pool.capacityBytes ?? 0)}`;
  const marks = [pool.type ?? '', pool.path ?? '', free, pool.shared ? 'shared' : '', pool.active ? '' : 'inactive'];
  return `${pool.name ?? ''}: ${marks.filter((mark) => mark !== '').join(', ')}`;
}

function accelerator(host: Host): string {
  const { accelerator: kind = '', acceleratorReason: reason = '' } = host.facts ?? {};
  return reason ? `${kind ?? ''} (${reason})` : (kind ?? '');
}

function usage(host: Host): string {
  if (!host.usage) return '';
  const used = formatBytes(host.usage.memoryUsedBytes ?? 0);
  return `cpu ${formatPercent(host.usage.cpuPercent ?? 0)}, memory ${used}, load ${(host.usage.load1 ?? 0).toFixed(2)}`;
}

export const hostView: View<Host> = {
  columns: [
    { header: 'NAME', cell: (host) => host.name ?? '' },
    { header: 'STATE', cell: hostState, tone: toneOfHost },
    { header: 'VMS', cell: (host) => String(host.vmCount ?? 0), right: true },
    {
      header: 'VCPUS',
      cell: (host) => (host.facts ? `${host.allocatedVcpus ?? 0}/${host.facts.cpus ?? 0}` : ''),
      raw: (host) => host.allocatedVcpus ?? 0,
      right: true,
    },
    {
      header: 'MEMORY',
      cell: (host) =>
        host.facts ? `${formatBytes(host.allocatedMemoryBytes ?? 0)}/${formatBytes(host.facts.memoryBytes ?? 0)}` : '',
      raw: (host) => host.allocatedMemoryBytes ?? 0,
      right: true,
    },
    { header: 'ACCEL', cell: (host) => host.facts?.accelerator ?? '' },
    { header: 'TAGS', cell: (host) => (host.tags ?? []).join(',') },
    {
      header: 'SEEN',
      cell: (host, now) => relativeTime(host.seenTime, now),
      raw: (host) => absoluteTime(host.seenTime),
    },
    { header: 'ID', cell: (host) => host.id ?? '', wide: true },
    { header: 'CPU MODEL', cell: (host) => host.facts?.cpuModel ?? '', wide: true },
    { header: 'LIBVIRT', cell: (host) => host.facts?.libvirtVersion ?? '', wide: true },
    { header: 'QEMU', cell: (host) => host.facts?.qemuVersion ?? '', wide: true },
    { header: 'AGENT', cell: (host) => host.facts?.agentVersion ?? '', wide: true },
    { header: 'REASON', cell: (host) => host.stateReason ?? '', wide: true },
  ],
  name: (host) => host.name ?? '',
  json: (host) => toPlain(v1.Host, host),
  details: (host, now) => [
    ['Name', host.name ?? ''],
    ['ID', host.id ?? ''],
    ['State', host.stateReason ? `${hostState(host)}: ${host.stateReason}` : hostState(host)],
    ['Takes VMs', host.schedulable ? 'yes' : 'no (cordoned)'],
    ['Tags', (host.tags ?? []).join(', ')],
    ['VMs', String(host.vmCount ?? 0)],
    ['vCPUs', `${host.allocatedVcpus ?? 0} given, ${host.facts?.cpus ?? 0} CPUs`],
    [
      'Memory',
      `${formatBytes(host.allocatedMemoryBytes ?? 0)} promised of ${formatBytes(host.facts?.memoryBytes ?? 0)}`,
    ],
    ['Usage', usage(host)],
    ['Machine', [host.facts?.hostname, host.facts?.arch, host.facts?.cpuModel].filter(Boolean).join(', ')],
    ['System', [host.facts?.os, host.facts?.kernel].filter(Boolean).join(', ')],
    ['Versions', versions(host)],
    ['Accelerator', accelerator(host)],
    ['Firmware', host.facts?.uefi ? 'BIOS, UEFI' : 'BIOS'],
    ['Bridges', bridges(host)],
    ['Pools', (host.facts?.pools ?? []).map(poolLine).join('\n')],
    ['Default pool', host.facts?.defaultPool ?? ''],
    ['Seen', bothTimes(host.seenTime, now)],
    ['Certificate', `until ${bothTimes(host.certificateExpireTime, now)}`],
    ['Added', bothTimes(host.createTime, now)],
    ['Etag', host.etag ?? ''],
  ],
};

function versions(host: Host): string {
  const { facts } = host;
  if (!facts) return '';
  return `libvirt ${facts.libvirtVersion ?? '?'}, QEMU ${facts.qemuVersion ?? '?'}, agent ${facts.agentVersion ?? '?'}`;
}

function bridges(host: Host): string {
  const { bridges: names = [], defaultBridge } = host.facts ?? {};
  return (names ?? []).map((name) => (name === defaultBridge ? `${name} (default)` : name)).join(', ');
}
