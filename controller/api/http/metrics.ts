import { memoryUsage } from 'node:process';
import type { Clock } from '../../../proto/kit/clock.js';
import { NO_ALLOCATION, type ClusterView } from '../../core/view.js';
import type { Agents, Operations } from '../../engine/env.js';
import type { Store } from '../../store/store.js';
import { countAll } from '../admin.js';
import { hostState } from '../wire/host.js';

export interface MetricsDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly operations: Operations;
  readonly view: () => ClusterView;
  readonly clock: Clock;
  readonly version: string;
  /** Milliseconds since 1970. */
  readonly startTime: number;
}

type Labels = Readonly<Record<string, string>>;
type Sample = readonly [Labels, number];

/** Prometheus' text format, version 0.0.4. Units are base units and stand in the names. */
export function renderMetrics(deps: MetricsDeps): string {
  const out: string[] = [];
  const metric = (name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]): void => {
    if (samples.length === 0) return;
    out.push(`# HELP ${name} ${help}`, `# TYPE ${name} ${type}`);
    for (const [labels, value] of samples)
      out.push(`${name}${labelText(labels)} ${Number.isFinite(value) ? value : 'NaN'}`);
  };
  controllerMetrics(deps, metric);
  hostMetrics(deps, metric);
  vmMetrics(deps, metric);
  return out.join('\n') + '\n';
}

type Metric = (name: string, type: 'gauge' | 'counter', help: string, samples: readonly Sample[]) => void;

function labelText(labels: Labels): string {
  const pairs = Object.entries(labels).map(([key, value]) => `${key}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? '' : `{${pairs.join(',')}}`;
}

function escapeLabel(value: string): string {
  return value.replace(/\\/g, '\\\\').replace(/"/g, '\\"').replace(/\n/g, '\\n');
}

function controllerMetrics(deps: MetricsDeps, metric: Metric): void {
  const counts = countAll(deps);
  metric('ostler_build_info', 'gauge', 'Version of the controller.', [[{ version: deps.version }, 1]]);
  metric('ostler_start_time_seconds', 'gauge', 'When the controller started.', [[{}, deps.startTime / 1000]]);
  metric('ostler_hosts', 'gauge', 'Hosts known.', [[{}, counts.hosts]]);
  metric('ostler_vms', 'gauge', 'VMs that are not expunged.', [[{}, counts.vms]]);
  metric('ostler_problems', 'gauge', 'Problems that GetStatus lists.', [[{}, counts.problems.length]]);
  const states = new Map<string, number>();
  for (const { value } of deps.store.list('operation')) {
    const key = `${value.kind}\n${value.state}`;
    states.set(key, (states.get(key) ?? 0) + 1);
  }
  const samples = [...states].sort().map(([key, count]): Sample => {
    const [kind = '', state = ''] = key.split('\n');
    return [{ kind, state }, count];
  });
  metric('ostler_operations', 'gauge', 'Operations on record by kind and state.', samples);
  const { rss, heapUsed } = memoryUsage();
  metric('process_resident_memory_bytes', 'gauge', 'Memory of the controller.', [[{}, rss]]);
  metric('nodejs_heap_used_bytes', 'gauge', 'JavaScript heap in use.', [[{}, heapUsed]]);
  const { user, system } = process.cpuUsage();
  metric('process_cpu_seconds_total', 'counter', 'CPU time of the controller.', [[{}, (user + system) / 1e6]]);
}

function hostMetrics(deps: MetricsDeps, metric: Metric): void {
  const view = deps.view();
  const hosts = [...deps.store.list('host')].map(({ value }) => {
    const live = deps.agents.view(value.id);
    const { state } = hostState(value, live);
    return {
      labels: { host: value.name },
      up: state === 'ONLINE' || state === 'HYPERVISOR_DOWN',
      hypervisor: state === 'ONLINE',
      facts: live?.facts ?? value.facts,
      usage: live?.online === true ? live.usage : undefined,
      allocated: view.host(value.id)?.allocated ?? NO_ALLOCATION,
      certificate: value.certificateExpireTime,
    };
  });
  type Row = (typeof hosts)[number];
  const each = (name: string, help: string, read: (host: Row) => number | null | undefined): void =>
    metric(name, 'gauge', help, collect(hosts, read));
  each('ostler_host_up', 'Whether the agent answers.', (host) => Number(host.up));
  each('ostler_host_hypervisor_up', 'Whether libvirt answers.', (host) => Number(host.hypervisor));
  each('ostler_host_cpus', 'CPUs of the host.', ({ facts }) => facts?.cpus);
  each('ostler_host_memory_bytes', 'Memory of the host.', ({ facts }) => facts?.memoryBytes);
  each('ostler_host_cpu_percent', 'CPU in use.', ({ usage }) => usage?.cpuPercent);
  each('ostler_host_memory_used_bytes', 'Memory in use.', ({ usage }) => usage?.memoryUsedBytes);
  each('ostler_host_load1', 'Load average of a minute.', ({ usage }) => usage?.load1);
  each('ostler_host_allocated_vcpus', 'vCPUs given out.', ({ allocated }) => allocated.vcpus);
  each('ostler_host_allocated_memory_bytes', 'Memory given out.', ({ allocated }) => allocated.memoryBytes);
  each('ostler_host_vms', 'VMs on the host, running or not.', ({ allocated }) => allocated.vms);
  each('ostler_host_certificate_expire_time_seconds', "End of the agent's certificate.", ({ certificate }) =>
    certificate === 0 ? undefined : certificate / 1000,
  );
  const pools = hosts.flatMap(({ labels, facts }) =>
    (facts?.pools ?? []).map((pool) => ({ labels: { ...labels, pool: pool.name }, pool })),
  );
  metric(
    'ostler_pool_capacity_bytes',
    'gauge',
    'Size of a storage pool.',
    collect(pools, ({ pool }) => pool.capacityBytes),
  );
  metric(
    'ostler_pool_available_bytes',
    'gauge',
    'Free room of a storage pool.',
    collect(pools, ({ pool }) => pool.availableBytes),
  );
}

function vmMetrics(deps: MetricsDeps, metric: Metric): void {
  const vms = [...deps.store.list('vm')]
    .filter(({ value }) => value.settled !== 'expunged')
    .map((stored) => {
      const { record, hostId } = stored.value;
      const host = deps.store.get('host', hostId)?.value.name ?? '';
      const { state } = deps.operations.vmState(stored);
      const usage = state === 'RUNNING' ? deps.agents.view(hostId)?.vmUsage.get(record.uuid) : undefined;
      return { labels: { vm: record.id, name: record.name, host }, state, usage, spec: record.spec };
    });
  type Row = (typeof vms)[number];
  const each = (name: string, help: string, read: (vm: Row) => number | null | undefined): void =>
    metric(name, 'gauge', help, collect(vms, read));
  metric(
    'ostler_vm_state',
    'gauge',
    'The state of a VM, as a label.',
    vms.map(({ labels, state }): Sample => [{ ...labels, state }, 1]),
  );
  each('ostler_vm_vcpus', 'vCPUs of the VM.', ({ spec }) => spec.cpu.vcpus);
  each('ostler_vm_memory_bytes', 'Memory of the VM.', ({ spec }) => spec.memory.sizeBytes);
  each('ostler_vm_cpu_percent', "CPU in use, of the VM's vCPUs.", ({ usage }) => usage?.cpuPercent);
  each('ostler_vm_memory_used_bytes', 'Memory in use.', ({ usage }) => usage?.memoryUsedBytes);
  each('ostler_vm_disk_read_bytes_per_second', 'Bytes read.', ({ usage }) => usage?.diskReadBytesPerSecond);
  each('ostler_vm_disk_write_bytes_per_second', 'Bytes written.', ({ usage }) => usage?.diskWriteBytesPerSecond);
  each('ostler_vm_net_receive_bytes_per_second', 'Bytes received.', ({ usage }) => usage?.netReceiveBytesPerSecond);
  each('ostler_vm_net_transmit_bytes_per_second', 'Bytes sent.', ({ usage }) => usage?.netTransmitBytesPerSecond);
}

/** A thing without the value gets no line: zero would be a lie. */
function collect<T extends { readonly labels: Labels }>(
  rows: readonly T[],
  read: (row: T) => number | null | undefined,
): Sample[] {
  return rows.flatMap((row): Sample[] => {
    const value = read(row);
    return value === undefined || value === null ? [] : [[row.labels, value]];
  });
}
