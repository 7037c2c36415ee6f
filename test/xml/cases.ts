import { buildDomainXml } from '../../agent/xml/build-domain.js';
import type { BuildOptions } from '../../agent/xml/build-domain.js';
import type { VmRecord } from '../../proto/model/vm.js';
import { cdrom, disk, MIB, nic, sampleOptions, sampleRecord } from './sample.js';

/** VMs whose XML is kept in golden/, checked against the schema, and given to a real libvirt. */
export interface Case {
  readonly name: string;
  readonly record: VmRecord;
  readonly options: BuildOptions;
  /** Whether an emulating host without firmware files can start it. */
  readonly starts: boolean;
}

function makeCase(name: string, record: VmRecord, more: Partial<BuildOptions> = {}, starts = true): Case {
  return { name, record, options: sampleOptions(record, more), starts };
}

const plain = sampleRecord();
/** What the defaults give to a system that may have no virtio drivers. */
const slowDevices = { disks: [disk('root', { bus: 'sata' })], nics: [nic('net0', { model: 'e1000e' })] };
const cpu = (model: string) => ({ vcpus: 1, maxVcpus: 1, sockets: 1, cores: 1, threads: 1, model });

export const CASES: readonly Case[] = [
  makeCase('plain', plain),
  makeCase(
    'everything',
    sampleRecord({
      displayName: '웹서버 <1> & "둘" ]]> 😀',
      description: 'first line\nsecond <line>',
      labels: { tier: 'web' },
      spec: {
        cpu: { vcpus: 1, maxVcpus: 8, sockets: 2, cores: 2, threads: 2, model: 'x86-64-v3' },
        memory: { sizeBytes: 128 * MIB, maxSizeBytes: 1024 * MIB },
        disks: [
          disk('root', { image: 'img-0123456789', sizeBytes: 0 }),
          disk('data-on-scsi', { bus: 'scsi' }),
          disk('a-very-long-disk-name-it-really', { bus: 'sata' }),
          cdrom('installer', { image: 'img-1123456789' }),
          cdrom('empty', { bus: 'scsi' }),
        ],
        nics: [nic('net0', { mtu: 9000 }), nic('net1', { mac: '52:54:00:12:34:57', model: 'e1000e', bridge: 'br1' })],
        bootOrder: ['installer', 'root', 'net0'],
      },
    }),
    { machine: 'q35', diskCache: 'writeback', tcgCacheMib: 32, emulator: '/usr/bin/qemu-system-x86_64' },
  ),
  makeCase(
    'windows-uefi-kvm',
    sampleRecord({ spec: { osType: 'windows', firmware: 'uefi', cpu: cpu('host-passthrough') } }),
    {
      virtType: 'kvm',
      nvramPath: '/var/lib/ostler/nvram/i-0123456789.fd',
      vncSocketPath: '/run/ostler/vnc/i-0123456789',
    },
    false,
  ),
  makeCase('windows-bios', sampleRecord({ spec: { osType: 'windows', ...slowDevices } })),
  makeCase('other-bios', sampleRecord({ spec: { osType: 'other', ...slowDevices } })),
  makeCase(
    'windows-uefi-tpm',
    sampleRecord({ spec: { osType: 'windows', firmware: 'uefi', tpm: true, ...slowDevices } }),
    {},
    false,
  ),
  makeCase('linux-uefi', sampleRecord({ spec: { firmware: 'uefi' } }), {}, false),
  makeCase('kvm-default-cpu', plain, { virtType: 'kvm' }, false),
  ...['x86-64-v1', 'x86-64-v2', 'x86-64-v2-AES', 'host-model', 'host-passthrough', 'Nehalem'].map((model) =>
    makeCase(`cpu-${model}`, sampleRecord({ spec: { cpu: cpu(model) } })),
  ),
  makeCase('cpu-x86-64-v4-kvm', sampleRecord({ spec: { cpu: cpu('x86-64-v4') } }), { virtType: 'kvm' }, false),
  makeCase(
    'most-devices',
    sampleRecord({
      spec: {
        disks: Array.from({ length: 32 }, (_, i) =>
          i < 12 ? disk(`d${i}`) : i < 24 ? disk(`d${i}`, { bus: 'scsi' }) : disk(`d${i}`, { bus: 'sata' }),
        ),
        nics: Array.from({ length: 16 }, (_, i) => nic(`n${i}`, { mac: `52:54:00:00:00:${(i + 16).toString(16)}` })),
      },
    }),
  ),
];

export function xmlOf(one: Case): string {
  return buildDomainXml(one.record, one.options);
}
