import { Duplex } from 'node:stream';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { Host } from '../host.js';
import type { Hypervisor } from '../hypervisor.js';
import { readDomain, type DomainData } from '../xml/read-domain.js';
import { createReplay, joinHistory, REPLAY_BYTES, type Replay } from './replay.js';
import { asOstlerError } from './xml-errors.js';

export interface ConsoleView {
  /** What was said before; empty for a screen. */
  readonly history: Buffer;
  /** Both ways; destroy it to leave. */
  readonly stream: Duplex;
}

export interface Consoles {
  /** A viewer of the serial console. Any number may look and type at once. */
  openSerial(vmUuid: string): Promise<ConsoleView>;
  /** The bytes of QEMU's VNC server. */
  openVnc(vmUuid: string): Promise<ConsoleView>;
  /** Ends everything of this VM. */
  close(vmUuid: string): void;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly log: Log;
}

/**
 * libvirt gives a console to one client at a time: this is the one, and all viewers share it. It is held while anybody
 * looks; what a VM said before is in the log that libvirt keeps of it, so that neither a restart of the agent nor an
 * absence of viewers loses the last 64 KiB.
 */
interface Owner {
  readonly source: Duplex;
  readonly replay: Replay;
  readonly viewers: Set<Duplex>;
}

/** A viewer this far behind is cut off: a guest must never wait for somebody's slow screen. */
const VIEWER_LIMIT_BYTES = 4 * 1024 * 1024;

export function createConsoles(deps: Deps): Consoles {
  const owners = new Map<string, Promise<Owner>>();

  const own = (uuid: string): Promise<Owner> => {
    const present = owners.get(uuid);
    if (present !== undefined) return present;
    const forget = (): void => {
      if (owners.get(uuid) === opening) owners.delete(uuid);
    };
    const opening: Promise<Owner> = openOwner(uuid, deps, () => forget());
    owners.set(uuid, opening);
    opening.catch(forget);
    return opening;
  };

  return {
    async openSerial(uuid) {
      let owner = await own(uuid);
      if (owner.source.destroyed) {
        // Its last viewer left this very moment.
        owners.delete(uuid);
        owner = await own(uuid);
      }
      return { history: owner.replay.content(), stream: addViewer(owner) };
    },
    async openVnc(uuid) {
      const { vncSocketPath } = await running(uuid, deps.hypervisor);
      if (vncSocketPath === undefined)
        throw new OstlerError('WRONG_STATE', 'This VM has no screen on a Unix socket.', {
          remedy: 'Stop and start it: its definition is made anew then.',
        });
      return { history: Buffer.alloc(0), stream: await deps.host.connectUnix(vncSocketPath) };
    },
    close(uuid) {
      owners.get(uuid)?.then(
        (owner) => owner.source.destroy(),
        () => undefined,
      );
    },
  };
}

async function running(uuid: string, hypervisor: Hypervisor): Promise<DomainData> {
  const [{ state }, xml] = await Promise.all([hypervisor.domainState(uuid), hypervisor.domainXml(uuid)]);
  if (state !== 'running' && state !== 'paused')
    throw new OstlerError('WRONG_STATE', `The VM does not run (${state}).`, { remedy: 'Start it first.' });
  return asOstlerError(() => readDomain(xml));
}

async function openOwner(uuid: string, deps: Deps, onEnd: () => void): Promise<Owner> {
  const { serialLogPath } = await running(uuid, deps.hypervisor);
  const source = await deps.hypervisor.openConsole(uuid);
  // From here on nothing is missed: what comes while the log is read is kept aside.
  let early: Buffer[] | undefined = [];
  let replay: Replay | undefined = undefined;
  const viewers = new Set<Duplex>();
  source.on('data', (chunk: Buffer) => {
    early?.push(chunk);
    replay?.push(chunk);
    for (const viewer of viewers) deliver(viewer, chunk);
  });
  const end = (): void => {
    onEnd();
    for (const viewer of viewers) viewer.push(null);
    viewers.clear();
  };
  source.once('close', end);
  source.once('end', () => source.destroy());
  source.on('error', (error) => deps.log.info({ err: error, uuid }, 'serial console ended'));
  const log = serialLogPath === undefined ? Buffer.alloc(0) : await readLogTail(serialLogPath, deps.host);
  const whole = createReplay(joinHistory(log, Buffer.concat(early)));
  replay = whole;
  early = undefined;
  return { source, replay: whole, viewers };
}

/** libvirt's log daemon rotates at 2 MiB: the file may have just begun, and the end of the story be in `.0`. */
async function readLogTail(path: string, host: Host): Promise<Buffer> {
  const tail = async (file: string): Promise<Buffer> => {
    const whole = await host.files.read(file).catch(() => Buffer.alloc(0));
    return whole.subarray(Math.max(0, whole.length - REPLAY_BYTES));
  };
  const now = await tail(path);
  if (now.length >= REPLAY_BYTES) return now;
  const older = await tail(`${path}.0`);
  return Buffer.concat([older, now]).subarray(-REPLAY_BYTES);
}

function deliver(viewer: Duplex, chunk: Buffer): void {
  if (viewer.readableLength > VIEWER_LIMIT_BYTES)
    viewer.destroy(new OstlerError('TIMEOUT', 'The viewer reads too slowly; open the console again.'));
  else viewer.push(chunk);
}

function addViewer(owner: Owner): Duplex {
  const viewer = new Duplex({
    // The guest decides when there is something to read.
    read: () => undefined,
    // What a viewer types waits for the guest: the console's own backpressure.
    write: (chunk: Buffer, _encoding, done) => {
      if (owner.source.destroyed) done(new OstlerError('WRONG_STATE', 'The VM does not run any more.'));
      else owner.source.write(chunk, done);
    },
  });
  owner.viewers.add(viewer);
  viewer.on('error', () => undefined);
  viewer.once('close', () => {
    owner.viewers.delete(viewer);
    // Nobody looks any more: others (virsh console) may have it.
    if (owner.viewers.size === 0) owner.source.destroy();
  });
  return viewer;
}
