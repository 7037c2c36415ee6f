import { ostler } from '../../../proto/gen/ostler.js';
import { fromWireTime } from '../../../proto/time.js';
import type { View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, bothTimes, relativeTime } from '../output/time.js';
import type { Tone } from '../output/text.js';
import { formatBytes, formatPercent, formatRate } from '../output/units.js';

const { v1 } = ostler;
type Vm = ostler.v1.Vm.$Properties;

export function vmState(vm: Vm): string {
  return (v1.VmState[vm.state ?? 0] ?? 'unknown').replace('VM_STATE_', '').toLowerCase();
}

export function toneOfVm(vm: Vm): Tone {
  const { RUNNING, ERROR, UNKNOWN, CREATING } = v1.VmState;
  const state = vm.state ?? 0;
  if (state === RUNNING) return 'good';
  if (state === ERROR || state === UNKNOWN) return 'bad';
  return state >= CREATING ? 'busy' : 'faint';
}

/** `CLONE_MODE_UNSPECIFIED` → empty, `NIC_VIRTIO` → `virtio`, `KEEP_RUNNING` → `keep-running`. */
export function word(name: string | undefined): string {
  if (name === undefined || name.endsWith('_UNSPECIFIED')) return '';
  return name.replace(/^NIC_/, '').toLowerCase().replaceAll('_', '-');
}

function diskLine(disk: ostler.v1.Disk.$Properties): string {
  const parts = [
    disk.sizeBytes ? formatBytes(disk.sizeBytes) : '',
    disk.device === v1.DiskDevice.CDROM ? 'cdrom' : '',
    word(v1.DiskBus[disk.bus ?? 0]),
    disk.image ? `image ${disk.image}${disk.clone === v1.CloneMode.FULL ? ' (full clone)' : ''}` : 'blank',
    disk.pool ? `pool ${disk.pool}` : '',
    disk.volume ? `volume ${disk.volume}` : '',
    limitsOf(disk.limits),
  ];
  return `${disk.name ?? ''}: ${parts.filter((part) => part !== '').join(', ')}`;
}

function limitsOf(limits: ostler.v1.DiskLimits.$Properties | null | undefined): string {
  if (!limits) return '';
  const rate = (value: number | null | undefined, what: string): string[] =>
    value ? [`${formatBytes(value)}/s ${what}`] : [];
  const iops = (value: number | null | undefined, what: string): string[] => (value ? [`${value} ${what}/s`] : []);
  const parts = [
    ...rate(limits.readBytesPerSecond, 'read'),
    ...rate(limits.writeBytesPerSecond, 'written'),
    ...iops(limits.readIops, 'reads'),
    ...iops(limits.writeIops, 'writes'),
  ];
  return parts.length === 0 ? '' : `at most ${parts.join(' and ')}`;
}

function nicLine(nic: ostler.v1.Nic.$Properties): string {
  const parts = [
    nic.mac ?? '',
    nic.bridge ? `bridge ${nic.bridge}` : '',
    word(v1.NicModel[nic.model ?? 0]),
    nic.mtu ? `mtu ${nic.mtu}` : '',
    nic.vlan ? `vlan ${nic.vlan}` : '',
  ];
  return `${nic.name ?? ''}: ${parts.filter((part) => part !== '').join(', ')}`;
}

function cpuLine(vm: Vm): string {
  const cpu = vm.spec?.cpu;
  if (!cpu) return '';
  const plug = (cpu.maxVcpus ?? 0) > (cpu.vcpus ?? 0) ? `, up to ${cpu.maxVcpus ?? 0}` : '';
  const topology = cpu.sockets ? `, ${cpu.sockets} × ${cpu.cores ?? 1} × ${cpu.threads ?? 1}` : '';
  return `${counted(cpu.vcpus ?? 0, 'vCPU')}${plug}${topology}${cpu.model ? `, ${cpu.model}` : ''}`;
}

function memoryLine(vm: Vm): string {
  const memory = vm.spec?.memory;
  if (!memory) return '';
  const more =
    (memory.maxSizeBytes ?? 0) > (memory.sizeBytes ?? 0) ? `, up to ${formatBytes(memory.maxSizeBytes ?? 0)}` : '';
  return `${formatBytes(memory.sizeBytes ?? 0)}${more}`;
}

function usageLine(vm: Vm, now: number): string {
  const { usage } = vm;
  if (!usage) return '';
  return [
    `cpu ${formatPercent(usage.cpuPercent ?? 0)}`,
    `memory ${formatBytes(usage.memoryUsedBytes ?? 0)}`,
    `disk r ${formatRate(usage.diskReadBytesPerSecond ?? 0)} w ${formatRate(usage.diskWriteBytesPerSecond ?? 0)}`,
    `net in ${formatRate(usage.netReceiveBytesPerSecond ?? 0)} out ${formatRate(usage.netTransmitBytesPerSecond ?? 0)}`,
    relativeTime(usage.sampleTime, now),
  ].join(', ');
}

function labelsOf(vm: Vm): string {
  return Object.entries(vm.labels ?? {})
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, value]) => `${key}=${value}`)
    .join(',');
}

function shutdownLine(vm: Vm): string {
  const action = vm.spec?.onShutdownTimeout === v1.TimeoutAction.FORCE_OFF ? 'then power off' : 'then keep running';
  return vm.spec?.shutdownTimeoutSeconds ? `${vm.spec.shutdownTimeoutSeconds}s, ${action}` : '';
}

function switchesLine(vm: Vm): string {
  const words: readonly (readonly [string, boolean | null | undefined])[] = [
    ['autostart', vm.spec?.autostart],
    ['delete protection', vm.spec?.deleteProtection],
    ['TPM', vm.spec?.tpm],
    ['root disk reset at reboot', vm.spec?.resetRootAtReboot],
  ];
  return words
    .filter(([, on]) => on === true)
    .map(([word]) => word)
    .join(', ');
}

function accountOf(vm: Vm): string {
  const cloud = vm.spec?.cloudInit;
  if (!cloud?.enabled) return 'none';
  const keys = cloud.sshKeys?.length ?? 0;
  const login = [cloud.passwordHash ? 'password' : '', keys > 0 ? counted(keys, 'SSH key') : '']
    .filter(Boolean)
    .join(', ');
  return `${cloud.user ?? ''}${login === '' ? '' : ` (${login})`}`;
}

function liveLine(vm: Vm): string {
  const { live } = vm;
  if (!live) return '';
  const memory = formatBytes(live.memoryBytes ?? 0);
  return `${live.domainState ?? ''} (${live.domainReason ?? ''}), ${counted(live.vcpus ?? 0, 'vCPU')}, ${memory}`;
}

export const vmView: View<Vm> = {
  columns: [
    { header: 'NAME', cell: (vm) => vm.name ?? '' },
    { header: 'DISPLAY NAME', cell: (vm) => vm.displayName ?? '' },
    { header: 'STATE', cell: vmState, tone: toneOfVm },
    { header: 'HOST', cell: (vm) => vm.host ?? '' },
    { header: 'VCPUS', cell: (vm) => String(vm.spec?.cpu?.vcpus ?? 0), right: true },
    {
      header: 'MEMORY',
      cell: (vm) => formatBytes(vm.spec?.memory?.sizeBytes ?? 0),
      raw: (vm) => vm.spec?.memory?.sizeBytes ?? 0,
      right: true,
    },
    { header: 'ADDRESSES', cell: (vm) => (vm.addresses ?? []).join(' ') },
    {
      header: 'CREATED',
      cell: (vm, now) => relativeTime(vm.createTime, now),
      raw: (vm) => absoluteTime(vm.createTime),
    },
    { header: 'ID', cell: (vm) => vm.id ?? '', wide: true },
    { header: 'UUID', cell: (vm) => vm.uuid ?? '', wide: true },
    { header: 'OS', cell: (vm) => word(v1.OsType[vm.spec?.osType ?? 0]), wide: true },
    { header: 'DISKS', cell: (vm) => String(vm.spec?.disks?.length ?? 0), wide: true, right: true },
    { header: 'OPERATION', cell: (vm) => vm.operation ?? '', wide: true },
    { header: 'LABELS', cell: labelsOf, wide: true },
    { header: 'REASON', cell: (vm) => vm.stateReason ?? '', wide: true },
  ],
  name: (vm) => vm.name ?? '',
  json: (vm) => toPlain(v1.Vm, vm),
  details: (vm, now) => [
    ['Name', vm.name ?? ''],
    ['Display name', vm.displayName ?? ''],
    ['ID', vm.id ?? ''],
    ['UUID', vm.uuid ?? ''],
    ['State', vm.stateReason ? `${vmState(vm)}: ${vm.stateReason}` : vmState(vm)],
    ...only('Operation', vm.operation),
    ...only('libvirt says', liveLine(vm)),
    ...only('Pending', (vm.pending ?? []).map((change) => change.sentence ?? '').join('\n')),
    ['Host', vm.host ?? ''],
    ['CPU', cpuLine(vm)],
    ['Memory', memoryLine(vm)],
    ['Disks', (vm.spec?.disks ?? []).map(diskLine).join('\n')],
    ['NICs', (vm.spec?.nics ?? []).map(nicLine).join('\n')],
    ['Boot order', (vm.spec?.bootOrder ?? []).join(', ')],
    ['Addresses', (vm.addresses ?? []).join(', ')],
    [
      'System',
      [word(v1.OsType[vm.spec?.osType ?? 0]), word(v1.Firmware[vm.spec?.firmware ?? 0])].filter(Boolean).join(', '),
    ],
    ['Account', accountOf(vm)],
    ['Shutdown', shutdownLine(vm)],
    ...only('Switches', switchesLine(vm)),
    ['Guest agent', vm.guestAgentConnected ? 'connected' : 'not connected'],
    ['Console', vm.consoleAvailable ? 'available' : 'not available'],
    ...only('Usage', usageLine(vm, now)),
    ...only('Labels', labelsOf(vm)),
    ...only('Description', vm.description),
    ['Made by', vm.createdBy ?? ''],
    ['Created', bothTimes(vm.createTime, now)],
    ['Changed', bothTimes(vm.updateTime, now)],
    ...only('Deleted', fromWireTime(vm.deleteTime) === undefined ? '' : bothTimes(vm.deleteTime, now)),
    ...only('Purged', fromWireTime(vm.purgeTime) === undefined ? '' : bothTimes(vm.purgeTime, now)),
    ['Etag', vm.etag ?? ''],
  ],
};

function counted(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}

/** A line that is left out when there is nothing to say. */
function only(label: string, value: string | null | undefined): [string, string][] {
  return value ? [[label, value]] : [];
}
