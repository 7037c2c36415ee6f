import { createLibvirtHypervisor } from '../../agent/drivers/libvirt-hypervisor.js';
import type { Host } from '../../agent/host.js';
import type { Hypervisor } from '../../agent/hypervisor.js';
import { createLinuxHost } from '../../agent/linux/host.js';
import { startPrivateLibvirtd, type PrivateLibvirtd } from '../rig/private-libvirtd.js';

export interface RealWorld {
  readonly libvirtd: PrivateLibvirtd;
  readonly host: Host;
  /** A client of the daemon; each agent closes its own. */
  hypervisor(): Hypervisor;
  stop(): Promise<void>;
}

/** A real libvirtd and QEMU of its own, with a bridge for its guests' NICs. */
export async function startRealWorld(): Promise<RealWorld> {
  const libvirtd = await startPrivateLibvirtd({ bridges: ['virbr0'] });
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
    stop: () => libvirtd.stop(),
  };
}
