import { ostler } from '../../proto/gen/ostler.js';
import { toWireTime } from '../../proto/time.js';
import { NOW, type Fake } from './fake-server.js';

const { v1 } = ostler;
const GIB = 1024 ** 3;
const ago = (seconds: number) => toWireTime(NOW - seconds * 1000);

/** Three VMs, three hosts, two images, one failed operation, two events: Korean, emoji and an attack among the names. */
export function fill(fake: Fake): void {
  fillVms(fake);
  fillHosts(fake);
  fake.images.set('debian-12', {
    id: 'img-0000000001',
    name: 'debian-12',
    displayName: 'Debian 12 “bookworm”',
    format: v1.ImageFormat.QCOW2,
    osType: v1.OsType.LINUX,
    state: v1.ImageState.READY,
    fileBytes: 3000,
    receivedBytes: 3000,
    virtualSizeBytes: 10 * GIB,
    sha256: 'ab'.repeat(32),
    createTime: ago(86_400),
    bytes: Buffer.alloc(3000, 7),
  });
  fake.images.set('win-2022', {
    id: 'img-0000000002',
    name: 'win-2022',
    displayName: '윈도우 서버 2022',
    format: v1.ImageFormat.ISO,
    osType: v1.OsType.WINDOWS,
    state: v1.ImageState.UPLOADING,
    fileBytes: 5 * GIB,
    receivedBytes: 2 * GIB,
    createTime: ago(90),
    bytes: Buffer.alloc(0),
  });
  fillHistory(fake);
}

function fillVms(fake: Fake): void {
  fake.vms.set('web1', {
    id: 'i-0000000001',
    uuid: '0d3c9a1e-0000-4000-8000-000000000001',
    name: 'web1',
    displayName: '웹서버 🚀',
    description: '앞단',
    labels: { tier: 'front', env: 'prod' },
    state: v1.VmState.RUNNING,
    host: 'h1',
    epoch: 3,
    createdBy: 'manual',
    etag: 'e7',
    createTime: ago(200),
    updateTime: ago(100),
    guestAgentConnected: true,
    consoleAvailable: true,
    addresses: ['10.0.0.11', 'fd00::11'],
    spec: {
      cpu: { vcpus: 2, maxVcpus: 4, sockets: 1, cores: 4, threads: 1, model: 'host-model' },
      memory: { sizeBytes: 2 * GIB, maxSizeBytes: 4 * GIB },
      disks: [
        { name: 'root', image: 'debian-12', sizeBytes: 10 * GIB, bus: v1.DiskBus.VIRTIO, device: v1.DiskDevice.DISK },
        { name: 'data1', sizeBytes: 100 * GIB, bus: v1.DiskBus.SCSI, device: v1.DiskDevice.DISK, pool: 'fast' },
      ],
      nics: [{ name: 'nic0', bridge: 'br0', mac: '52:54:00:00:00:01', model: v1.NicModel.NIC_VIRTIO }],
      osType: v1.OsType.LINUX,
      firmware: v1.Firmware.UEFI,
      bootOrder: ['root', 'data1', 'nic0'],
      cloudInit: { enabled: true, user: 'ostler', passwordHash: '********', sshKeys: ['ssh-ed25519 AAAA a'] },
      shutdownTimeoutSeconds: 90,
      onShutdownTimeout: v1.TimeoutAction.KEEP_RUNNING,
    },
    usage: {
      sampleTime: ago(4),
      cpuPercent: 12.34,
      memoryUsedBytes: 1.25 * GIB,
      diskReadBytesPerSecond: 4096,
      diskWriteBytesPerSecond: 1_500_000,
      netReceiveBytesPerSecond: 900,
      netTransmitBytesPerSecond: 0,
    },
  });
  fake.vms.set('db1', {
    id: 'i-0000000002',
    name: 'db1',
    displayName: 'db1',
    state: v1.VmState.STOPPED,
    createTime: ago(9 * 86_400),
    spec: { cpu: { vcpus: 16 }, memory: { sizeBytes: 64 * GIB }, disks: [{ name: 'root' }], osType: v1.OsType.LINUX },
  });
  fake.vms.set('evil', {
    id: 'i-0000000003',
    name: 'evil',
    // A name that would clear the screen and set the window's title, if it were printed as it is.
    displayName: 'a\u001b[2J\u001b]0;owned\u0007\u202eb',
    state: v1.VmState.ERROR,
    stateReason: 'half\r\nmade',
    host: 'h2',
    createTime: ago(3700),
    spec: { cpu: { vcpus: 1 }, memory: { sizeBytes: 512 * 1024 ** 2 }, disks: [] },
  });
}

function fillHosts(fake: Fake): void {
  fake.hosts.set('h1', {
    id: 'h-0000000001',
    name: 'h1',
    state: v1.HostState.ONLINE,
    schedulable: true,
    tags: ['ssd', 'zone-a'],
    vmCount: 1,
    allocatedVcpus: 2,
    allocatedMemoryBytes: 2 * GIB,
    createTime: ago(30 * 86_400),
    seenTime: ago(1),
    certificateExpireTime: toWireTime(NOW + 20 * 86_400_000),
    etag: 'e1',
    usage: { sampleTime: ago(3), cpuPercent: 8.5, memoryUsedBytes: 6 * GIB, load1: 0.42 },
    facts: {
      hostname: 'kvm01',
      os: 'Debian GNU/Linux 12',
      kernel: '6.1.0',
      arch: 'x86_64',
      cpuModel: 'EPYC 7313',
      cpus: 32,
      memoryBytes: 128 * GIB,
      libvirtVersion: '9.0.0',
      qemuVersion: '7.2.0',
      agentVersion: '0.1.0',
      accelerator: 'kvm',
      bridges: ['br0', 'br1'],
      defaultBridge: 'br0',
      defaultPool: 'default',
      uefi: true,
      pools: [
        {
          name: 'default',
          type: 'dir',
          path: '/var/lib/libvirt/images',
          capacityBytes: 900 * GIB,
          availableBytes: 450 * GIB,
          active: true,
        },
        {
          name: 'nfs',
          type: 'netfs',
          path: '/mnt/nfs',
          shared: true,
          capacityBytes: 4 * 1024 * GIB,
          availableBytes: GIB,
        },
      ],
    },
  });
  fake.hosts.set('h2', {
    id: 'h-0000000002',
    name: 'h2',
    state: v1.HostState.ONLINE,
    schedulable: false,
    seenTime: ago(2),
    facts: { cpus: 4, memoryBytes: 16 * GIB, accelerator: 'tcg', acceleratorReason: '/dev/kvm is missing' },
  });
  fake.hosts.set('h3', {
    id: 'h-0000000003',
    name: 'h3',
    state: v1.HostState.UNREACHABLE,
    stateReason: 'its link has been silent for 12 minutes',
    schedulable: true,
    seenTime: ago(720),
  });
}

function fillHistory(fake: Fake): void {
  fake.operations.set('op-0000000001', {
    id: 'op-0000000001',
    kind: 'vm.create',
    target: 'i-0000000003',
    targetName: 'evil',
    state: v1.OperationState.FAILED,
    percent: 60,
    createdBy: 'admin',
    createTime: ago(3700),
    endTime: ago(3690),
    steps: [
      { name: 'place', state: v1.OperationState.SUCCEEDED, detail: 'on h2', startTime: ago(3700), endTime: ago(3700) },
      {
        name: 'provision',
        state: v1.OperationState.FAILED,
        detail: 'cloning',
        startTime: ago(3699),
        endTime: ago(3690),
      },
    ],
    error: {
      reason: 'STORAGE_FULL',
      message: 'Pool default on h2 is full.',
      remedy: 'Free room.',
      metadata: { pool: 'default' },
    },
    placement: { host: 'h2', score: 0.5, rejected: { h3: 'unreachable' } },
  });
  fake.events.push(
    {
      id: 'ev-0000000002',
      resumeToken: 'r2',
      time: ago(60),
      kind: 'vm.running',
      target: 'i-0000000001',
      targetName: 'web1',
      host: 'h1',
      actor: 'controller',
      message: 'web1 runs on h1.',
    },
    {
      id: 'ev-0000000001',
      resumeToken: 'r1',
      time: ago(62),
      kind: 'audit.vm.start',
      target: 'i-0000000001',
      targetName: 'web1',
      actor: '관리자',
      message: 'start, "now",\nplease',
    },
  );
}
