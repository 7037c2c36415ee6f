import type { VmRecord } from '../../proto/model/vm.js';
import { MIB } from '../../proto/model/vm.js';

/** A complete, valid record for tests; `changes` replaces top-level fields. */
export function sampleRecord(changes: Partial<VmRecord> = {}): VmRecord {
  return {
    id: 'i-0123456789',
    uuid: '6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab',
    name: 'web1',
    displayName: 'web1',
    description: '',
    labels: { tier: 'front' },
    spec: {
      cpu: { vcpus: 1, maxVcpus: 2, sockets: 1, cores: 2, threads: 1, model: '' },
      memory: { sizeBytes: 128 * MIB, maxSizeBytes: 128 * MIB },
      disks: [
        {
          name: 'root',
          image: 'img-0123456789',
          sizeBytes: 256 * MIB,
          pool: '',
          bus: 'virtio',
          device: 'disk',
          clone: 'overlay',
        },
      ],
      nics: [{ name: 'nic0', bridge: '', mac: '52:54:00:00:00:01', model: 'virtio', mtu: 0 }],
      osType: 'linux',
      firmware: 'bios',
      bootOrder: ['root', 'nic0'],
      cloudInit: {
        enabled: true,
        user: 'ostler',
        passwordHash: '$6$saltsalt$0123456789abcdef',
        sshKeys: ['ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJmP0p operator@desk'],
        userData: '#cloud-config\npackages: []\n',
        networkConfig: '',
        scripts: [{ name: 'hello.sh', order: 1, stage: 'boot', content: '#!/bin/sh\necho hello\n' }],
      },
      shutdownTimeoutSeconds: 90,
      onShutdownTimeout: 'keep-running',
      placement: { host: '', requiredTags: [] },
    },
    epoch: 1,
    createdBy: 'manual',
    createTime: 1_700_000_000_000,
    startedOnce: false,
    ...changes,
  };
}
