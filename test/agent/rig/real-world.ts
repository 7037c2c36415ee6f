import { execFileSync } from 'node:child_process';
import { createLibvirtHypervisor } from '../../../agent/drivers/libvirt-hypervisor.js';
import type { Host } from '../../../agent/host.js';
import type { Hypervisor } from '../../../agent/hypervisor.js';
import { createLinuxHost } from '../../../agent/linux/host.js';
import { startPrivateLibvirtd, type PrivateLibvirtd } from '../../rig/private-libvirtd.js';

export interface RealWorld {
  readonly libvirtd: PrivateLibvirtd;
  readonly host: Host;
  /** A client of the daemon; each agent closes its own. */
  hypervisor(): Hypervisor;
  /** After `libvirtd.kill()`. */
  startDaemon(): Promise<void>;
  stop(): Promise<void>;
}

/** A real libvirtd and QEMU of its own, with a bridge for its guests' NICs. */
export async function startRealWorld(): Promise<RealWorld> {
  const libvirtd = await startPrivateLibvirtd();
  // Every life of the daemon has a network namespace of its own.
  const addBridge = (): void => {
    const ip = ['--target', String(libvirtd.pid), '--net', 'ip', 'link'];
    execFileSync('nsenter', [...ip, 'add', 'virbr0', 'type', 'bridge']);
    execFileSync('nsenter', [...ip, 'set', 'virbr0', 'up']);
  };
  addBridge();
  const real = createLinuxHost();
  return {
    libvirtd,
    // The daemon's private directories lie elsewhere for us, who are outside its mount namespace.
    host: {
      ...real,
      connectUnix: (path) => real.connectUnix(path.replace(/^\/var\/lib\/libvirt\//, `${libvirtd.dir}/lib/`)),
    },
    hypervisor: () =>
      createLibvirtHypervisor({ uri: 'qemu:///system', socket: libvirtd.socket, onError: () => undefined }),
    async startDaemon() {
      await libvirtd.start();
      addBridge();
    },
    stop: () => libvirtd.stop(),
  };
}
