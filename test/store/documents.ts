/** Complete documents for tests. */
import type { HostDoc, ImageDoc, TokenDoc, VmDoc } from '../../controller/core/model.js';
import type { HostFacts } from '../../proto/model/host.js';
import { MIB, type VmRecord } from '../../proto/model/vm.js';

export const GIB = 1024 * MIB;

/** A deterministic UUID for number `n`. */
export function uuid(n: number): string {
  return `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`;
}

/** A deterministic id for number `n`. */
export function id(prefix: 'i' | 'img' | 'op' | 'h', n: number): string {
  return `${prefix}-${String(n).padStart(10, '0')}`;
}

export function aRecord(n: number, change: Partial<VmRecord> = {}): VmRecord {
  return {
    id: id('i', n),
    uuid: uuid(n),
    name: `web${n}`,
    displayName: `web${n}`,
    description: '',
    labels: {},
    spec: {
      cpu: { vcpus: 1, maxVcpus: 1, sockets: 1, cores: 1, threads: 1, model: '' },
      memory: { sizeBytes: 512 * MIB, maxSizeBytes: 512 * MIB },
      disks: [
        { name: 'root', image: '', sizeBytes: GIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
      ],
      nics: [{ name: 'net0', bridge: '', mac: '52:54:00:00:00:01', model: 'virtio', mtu: 0 }],
      osType: 'linux',
      firmware: 'bios',
      bootOrder: ['root', 'net0'],
      cloudInit: {
        enabled: false,
        user: 'ostler',
        passwordHash: '',
        sshKeys: [],
        userData: '',
        networkConfig: '',
        scripts: [],
      },
      shutdownTimeoutSeconds: 90,
      onShutdownTimeout: 'keep-running',
      placement: { host: '', requiredTags: [] },
    },
    epoch: 0,
    createdBy: 'manual',
    createTime: 1000,
    startedOnce: false,
    ...change,
  };
}

export function aVm(n: number, change: Partial<VmDoc> = {}): VmDoc {
  return {
    record: aRecord(n),
    hostId: '',
    settled: 'stopped',
    stateReason: '',
    operationId: '',
    updateTime: 1000,
    purgeTime: 0,
    ...change,
  };
}

export function someFacts(change: Partial<HostFacts> = {}): HostFacts {
  return {
    hostname: 'h',
    machineId: '0',
    os: 'Debian 12',
    kernel: '6.1',
    arch: 'x86_64',
    cpuModel: 'test',
    cpus: 4,
    memoryBytes: 8 * GIB,
    libvirtVersion: '9.0.0',
    qemuVersion: '7.2.0',
    accelerator: 'kvm',
    acceleratorReason: '',
    cpuModels: ['qemu64', 'x86-64-v2-AES'],
    bridges: ['br0'],
    pools: [
      {
        name: 'default',
        type: 'dir',
        path: '/var/lib/ostler/vms',
        shared: false,
        capacityBytes: 100 * GIB,
        availableBytes: 80 * GIB,
        active: true,
        domain: 'd',
      },
    ],
    defaultPool: 'default',
    defaultBridge: 'br0',
    agentVersion: '0.1.0',
    uefi: true,
    ...change,
  };
}

export function aHost(n: number, change: Partial<HostDoc> = {}): HostDoc {
  return {
    id: id('h', n),
    name: `h${n}`,
    tags: [],
    schedulable: true,
    createTime: 1000,
    joinSecret: undefined,
    certificateSerial: 'ab',
    certificateExpireTime: 0,
    facts: undefined,
    seenTime: 0,
    eventSequence: 0,
    ...change,
  };
}

export function anImage(n: number, change: Partial<ImageDoc> = {}): ImageDoc {
  return {
    id: id('img', n),
    name: `debian-${n}`,
    displayName: `Debian ${n}`,
    description: '',
    format: 'qcow2',
    osType: 'linux',
    state: 'ready',
    stateReason: '',
    fileBytes: 400 * MIB,
    virtualSizeBytes: 2 * GIB,
    sha256: 'a'.repeat(64),
    requestId: '',
    createTime: 1000,
    ...change,
  };
}

export function aToken(name: string): TokenDoc {
  return { name, role: 'operator', hash: 'b'.repeat(64), createTime: 1000, expireTime: 0 };
}
