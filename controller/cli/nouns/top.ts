import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import type { Context } from '../context.js';
import { parseChoice } from '../input/key-values.js';
import { isTerminal } from '../io.js';
import { printList, tableOf, type View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, relativeTime } from '../output/time.js';
import { fitTo } from '../output/text.js';
import { formatBytes, formatPercent, formatRate } from '../output/units.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';
import { hostState, toneOfHost } from './host-view.js';
import { runScreen } from './top-screen.js';
import { toneOfVm, vmState } from './vm-view.js';

const { v1 } = ostler;
type Vm = ostler.v1.Vm.$Properties;
type Host = ostler.v1.Host.$Properties;

function rateColumn(header: string, read: (usage: ostler.v1.VmUsage.$Properties) => number | null | undefined) {
  return {
    header,
    right: true,
    cell: (vm: Vm) => (vm.usage ? formatRate(read(vm.usage) ?? 0) : ''),
    raw: (vm: Vm) => (vm.usage ? (read(vm.usage) ?? 0) : ''),
  };
}

const vmTop: View<Vm> = {
  columns: [
    { header: 'NAME', cell: (vm) => vm.name ?? '' },
    { header: 'STATE', cell: vmState, tone: toneOfVm },
    { header: 'HOST', cell: (vm) => vm.host ?? '' },
    { header: 'VCPUS', cell: (vm) => String(vm.spec?.cpu?.vcpus ?? 0), right: true },
    {
      header: 'CPU',
      cell: (vm) => (vm.usage ? formatPercent(vm.usage.cpuPercent ?? 0) : ''),
      raw: (vm) => vm.usage?.cpuPercent ?? '',
      right: true,
    },
    {
      header: 'USED',
      cell: (vm) => (vm.usage ? formatBytes(vm.usage.memoryUsedBytes ?? 0) : ''),
      raw: (vm) => vm.usage?.memoryUsedBytes ?? '',
      right: true,
    },
    {
      header: 'MEMORY',
      cell: (vm) => formatBytes(vm.spec?.memory?.sizeBytes ?? 0),
      raw: (vm) => vm.spec?.memory?.sizeBytes ?? 0,
      right: true,
    },
    rateColumn('READ', (usage) => usage.diskReadBytesPerSecond),
    rateColumn('WRITE', (usage) => usage.diskWriteBytesPerSecond),
    rateColumn('NET IN', (usage) => usage.netReceiveBytesPerSecond),
    rateColumn('NET OUT', (usage) => usage.netTransmitBytesPerSecond),
    {
      header: 'SAMPLE',
      cell: (vm, now) => relativeTime(vm.usage?.sampleTime, now),
      raw: (vm) => absoluteTime(vm.usage?.sampleTime),
      wide: true,
    },
  ],
  name: (vm) => vm.name ?? '',
  json: (vm) => toPlain(v1.Vm, vm),
  details: () => [],
};

const hostTop: View<Host> = {
  columns: [
    { header: 'NAME', cell: (host) => host.name ?? '' },
    { header: 'STATE', cell: hostState, tone: toneOfHost },
    { header: 'VMS', cell: (host) => String(host.vmCount ?? 0), right: true },
    { header: 'CPUS', cell: (host) => String(host.facts?.cpus ?? 0), right: true },
    { header: 'GIVEN', cell: (host) => String(host.allocatedVcpus ?? 0), right: true },
    {
      header: 'CPU',
      cell: (host) => (host.usage ? formatPercent(host.usage.cpuPercent ?? 0) : ''),
      raw: (host) => host.usage?.cpuPercent ?? '',
      right: true,
    },
    {
      header: 'LOAD',
      cell: (host) => (host.usage ? (host.usage.load1 ?? 0).toFixed(2) : ''),
      right: true,
    },
    {
      header: 'USED',
      cell: (host) => (host.usage ? formatBytes(host.usage.memoryUsedBytes ?? 0) : ''),
      raw: (host) => host.usage?.memoryUsedBytes ?? '',
      right: true,
    },
    {
      header: 'PROMISED',
      cell: (host) => formatBytes(host.allocatedMemoryBytes ?? 0),
      raw: (host) => host.allocatedMemoryBytes ?? 0,
      right: true,
    },
    {
      header: 'MEMORY',
      cell: (host) => formatBytes(host.facts?.memoryBytes ?? 0),
      raw: (host) => host.facts?.memoryBytes ?? 0,
      right: true,
    },
    {
      header: 'SAMPLE',
      cell: (host, now) => relativeTime(host.usage?.sampleTime, now),
      raw: (host) => absoluteTime(host.usage?.sampleTime),
      wide: true,
    },
  ],
  name: (host) => host.name ?? '',
  json: (host) => toPlain(v1.Host, host),
  details: () => [],
};

const REFRESH_MS = 2000;

export function addTop(program: Command, shell: Shell): void {
  program
    .command('top')
    .description('who uses how much, every 2 seconds; q leaves')
    .argument('[what]', 'vm or host', 'vm')
    .addHelpText('after', examples('ostler top', 'ostler top host', 'ostler top -o csv'))
    .action(
      shell.verb((context: Context, what: string) =>
        parseChoice(what, 'what', ['vm', 'host']) === 'vm' ? topVms(context) : topHosts(context),
      ),
    );
}

export function addVmTop(vm: Command, shell: Shell): void {
  vm.command('top').description('what VMs use, every 2 seconds; q leaves').action(shell.verb(topVms));
}

export function addHostTop(host: Command, shell: Shell): void {
  host.command('top').description('what hosts use, every 2 seconds; q leaves').action(shell.verb(topHosts));
}

/** The busiest first. */
async function topVms(context: Context): Promise<number> {
  return top(context, vmTop, async () => {
    const rows = await allPages(undefined, async (page) => {
      const response = await context.clients().vms.listVms(page, { signal: context.io.interrupted });
      return { rows: response.vms, next: response.nextPageToken };
    });
    return rows.sort((a, b) => (b.usage?.cpuPercent ?? -1) - (a.usage?.cpuPercent ?? -1));
  });
}

async function topHosts(context: Context): Promise<number> {
  return top(context, hostTop, async () => {
    const rows = await allPages(undefined, async (page) => {
      const response = await context.clients().hosts.listHosts(page, { signal: context.io.interrupted });
      return { rows: response.hosts, next: response.nextPageToken };
    });
    return rows.sort((a, b) => (b.usage?.cpuPercent ?? -1) - (a.usage?.cpuPercent ?? -1));
  });
}

/** One print without a terminal; else a screen that is drawn anew until q or Ctrl-C. */
async function top<T>(context: Context, view: View<T>, load: () => Promise<T[]>): Promise<number> {
  const { io, globals } = context;
  const tabular = globals.output === 'table' || globals.output === 'wide';
  if (!tabular || !isTerminal(io.stdout) || !isTerminal(io.stdin)) {
    await printList(context, view, await load(), 'Nothing there.');
    return 0;
  }
  return runScreen(context, REFRESH_MS, async () => {
    const rows = await load();
    // Cut before colouring would be wrong the other way round: escape sequences have no width, but must not be cut.
    const plain = { ...context, globals: { ...globals, color: false } };
    const table = tableOf(view, rows, plain, globals.output === 'wide');
    return table.split('\n').map((line) => fitTo(line, io.stdout.columns ?? 80));
  });
}
