import { Duplex } from 'node:stream';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { Host } from '../host.js';
import type { Hypervisor } from '../hypervisor.js';
import { readDomain, type DomainData } from '../xml/read-domain.js';
import { createReplay, joinHistory, REPLAY_BYTES, withoutRepeated, type Replay } from './replay.js';
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
  const before = serialLogPath === undefined ? 0 : ((await deps.host.files.size(serialLogPath)) ?? 0);
  const source = await deps.hypervisor.openConsole(uuid);
  // From here on nothing is missed: what comes while the log is read is kept aside.
  const early: Buffer[] = [];
  let onEarly: () => void = () => undefined;
  let replay: Replay | undefined = undefined;
  let repeated = Buffer.alloc(0);
  const viewers = new Set<Duplex>();
  source.on('data', (chunk: Buffer) => {
    if (replay === undefined) {
      early.push(chunk);
      onEarly();
      return;
    }
    const taken = withoutRepeated(chunk, repeated);
    repeated = Buffer.from(taken.repeated);
    if (taken.fresh.length === 0) return;
    replay.push(taken.fresh);
    for (const viewer of viewers) deliver(viewer, taken.fresh);
  });
  const end = (): void => {
    onEnd();
    for (const viewer of viewers) viewer.push(null);
    viewers.clear();
  };
  source.once('close', end);
  source.once('end', () => source.destroy());
  source.on('error', (error) => deps.log.info({ err: error, uuid }, 'serial console ended'));
  const log = serialLogPath === undefined ? NO_LOG : await readLogTail(serialLogPath, before, deps.host);
  const behind = (): boolean => early.reduce((sum, chunk) => sum + chunk.length, 0) < log.grown;
  if (behind())
    await new Promise<void>((resolve) => {
      const late = setTimeout(resolve, CATCH_UP_MS);
      onEarly = () => {
        if (behind()) return;
        clearTimeout(late);
        resolve();
      };
    });
  const joint = joinHistory(log.tail, log.grown, Buffer.concat(early));
  repeated = Buffer.from(joint.repeated);
  const whole = createReplay(joint.history);
  replay = whole;
  return { source, replay: whole, viewers };
}

interface LogTail {
  readonly tail: Buffer;
  /** How many of its bytes were written since the file had a certain size. */
  readonly grown: number;
}

const NO_LOG: LogTail = { tail: Buffer.alloc(0), grown: 0 };
/** How long an opening console waits for the stream to bring what the log has already; in practice some milliseconds. */
const CATCH_UP_MS = 300;

/** libvirt's log daemon rotates at 2 MiB: the file may have just begun, and the end of the story be in `.0`. */
async function readLogTail(path: string, before: number, host: Host): Promise<LogTail> {
  const absent = { tail: Buffer.alloc(0), size: 0 };
  const now = await host.files.readEnd(path, REPLAY_BYTES).catch(() => absent);
  const grown = Math.min(now.tail.length, now.size < before ? now.size : now.size - before);
  if (now.tail.length >= REPLAY_BYTES) return { tail: now.tail, grown };
  const older = await host.files.readEnd(`${path}.0`, REPLAY_BYTES - now.tail.length).catch(() => absent);
  return { tail: Buffer.concat([older.tail, now.tail]), grown };
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
  // A console that ended before anybody could look has nobody left to say so.
  if (owner.source.destroyed) viewer.push(null);
  viewer.on('error', () => undefined);
  viewer.once('close', () => {
    owner.viewers.delete(viewer);
    // Nobody looks any more: others (virsh console) may have it.
    if (owner.viewers.size === 0) owner.source.destroy();
  });
  return viewer;
}
