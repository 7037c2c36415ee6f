/** Which socket serves a URI: libvirt.so's own order, the driver's daemon first, the one for everything second. */
import { existsSync } from 'node:fs';

export interface SocketChoice {
  readonly uri: string;
  readonly readOnly?: boolean;
  /** Where the daemons keep their sockets; /run/libvirt, or $XDG_RUNTIME_DIR/libvirt for session URIs. */
  readonly runDir?: string;
}

/** The modular daemon of each driver. */
const DAEMONS: Readonly<Record<string, string>> = {
  qemu: 'virtqemud',
  lxc: 'virtlxcd',
  xen: 'virtxend',
  bhyve: 'virtbhyved',
  vbox: 'virtvboxd',
};

/** The path to connect to; whether it exists is known for the modular daemons only. Throws on a remote URI. */
export function socketPathFor(choice: SocketChoice): string {
  const url = new URL(choice.uri);
  const [driver = '', transport = 'unix'] = url.protocol.slice(0, -1).split('+');
  if (transport !== 'unix' || url.hostname !== '') {
    throw new TypeError(`${choice.uri} names another host; this client speaks to a local socket`);
  }
  const explicit = url.searchParams.get('socket');
  if (explicit !== null) return explicit;
  const runtime = process.env['XDG_RUNTIME_DIR'] ?? '/run';
  const dir = choice.runDir ?? (url.pathname === '/session' ? `${runtime}/libvirt` : '/run/libvirt');
  const suffix = choice.readOnly === true ? 'sock-ro' : 'sock';
  const daemon = DAEMONS[driver];
  if (daemon !== undefined) {
    const direct = `${dir}/${daemon}-${suffix}`;
    if (existsSync(direct)) return direct;
  }
  return `${dir}/libvirt-${suffix}`;
}

/** The URI as the daemon wants it: without transport and socket. */
export function daemonUri(uri: string): string {
  const url = new URL(uri);
  const [driver = ''] = url.protocol.slice(0, -1).split('+');
  return `${driver}://${url.pathname}`;
}
