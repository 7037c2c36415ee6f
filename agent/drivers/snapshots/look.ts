import { basename, dirname } from 'node:path';
import { OstlerError } from '../../../proto/kit/errors.js';
import { diskSerial } from '../../core/disk-target.js';
import { differences } from '../../core/snapshot-chain/reality.js';
import { readDomain, type DomainDisk } from '../../xml/read-domain.js';
import { isActive, refuseSavedMemory, stateOf } from '../domain-state.js';
import type { Scene } from './scene.js';

/** What the domain says of its disks now. */
export interface Look {
  /** QEMU exists for it. */
  readonly active: boolean;
  readonly running: boolean;
  readonly defined: boolean;
  readonly agentConnected: boolean;
  /** By disk: the file that it stands on, as in Reality; undefined: not told. */
  readonly tops: Readonly<Record<string, string | undefined>>;
  /** By disk: its target. A disk that was plugged in may have another one until the next start. */
  readonly devs: Readonly<Record<string, string | undefined>>;
  /** All drives of the domain. */
  readonly drives: readonly DomainDisk[];
}

export async function look(scene: Scene): Promise<Look> {
  const { hypervisor } = scene.deps;
  const { uuid } = scene.record;
  const { state } = await stateOf(hypervisor, uuid);
  if (state === 'gone')
    return { active: false, running: false, defined: false, agentConnected: false, tops: {}, devs: {}, drives: [] };
  const active = isActive(state);
  const { disks, guestAgent } = readDomain(await hypervisor.domainXml(uuid, { inactive: !active }));
  const tops: Record<string, string | undefined> = {};
  const devs: Record<string, string | undefined> = {};
  for (const disk of scene.disks) {
    const drive = driveOf(scene, disk, disks);
    devs[disk] = drive?.dev;
    const source = drive?.source;
    // A disk that the definition does not have yet is told by nobody.
    tops[disk] = source === undefined ? undefined : shortName(scene, disk, source);
  }
  return {
    ...{ active, running: state === 'running', defined: true, tops, devs, drives: disks },
    agentConnected: guestAgent === 'connected',
  };
}

/** By its serial, which stays wherever it is plugged in; a definition that says none goes by the order of the disks. */
export function driveOf(scene: Scene, disk: string, drives: readonly DomainDisk[]): DomainDisk | undefined {
  const dev = scene.targets.get(disk)?.dev;
  return (
    drives.find((one) => one.serial === diskSerial(disk)) ??
    drives.find((one) => one.dev === dev && one.serial === undefined)
  );
}

/** The file's name when it lies where the disk's files lie; else the whole path. */
function shortName(scene: Scene, disk: string, path: string): string {
  const current = scene.doc.state.current[disk];
  const directory = current === undefined ? undefined : dirname(scene.path(current));
  return directory !== undefined && dirname(path) === directory ? basename(path) : path;
}

/** What a file stands on, as the chain writes it down: a name beside it when it is one of ours. */
export async function backingOf(scene: Scene, name: string): Promise<string | undefined> {
  const path = scene.path(name);
  if (!(await scene.deps.host.files.exists(path))) return undefined;
  const { backingFile = '' } = await scene.deps.host.qemuImg.glance(path);
  const near = dirname(backingFile) === dirname(path) ? basename(backingFile) : backingFile;
  return scene.doc.state.files[near] === undefined && scene.doc.pending?.next.files[near] === undefined
    ? backingFile
    : near;
}

/** The backing as qemu-img wants it. */
export async function backingPath(
  scene: Scene,
  backing: string,
): Promise<{ path: string; format: string } | undefined> {
  if (backing === '') return undefined;
  if (!backing.startsWith('/')) return { path: scene.path(backing), format: 'qcow2' };
  const { format } = await scene.deps.host.qemuImg.info(backing);
  return { path: backing, format };
}

/**
 * CHAIN_CHANGED when the disks are not what was written down; nothing of ours may touch them then (M-088). WRONG_STATE for
 * a suspended VM: its saved memory goes on with exactly the files that it stood on.
 */
export async function verify(scene: Scene, seen: Look): Promise<void> {
  if (seen.defined && !seen.active) await refuseSavedMemory(scene.record, scene.deps.hypervisor);
  const { state } = scene.doc;
  const names = Object.keys(state.files);
  const backings = await Promise.all(names.map(async (name) => [name, await backingOf(scene, name)] as const));
  const found = differences(state, { tops: seen.tops, backings: Object.fromEntries(backings) });
  const [first] = found;
  if (first === undefined) return;
  const name = scene.record.name;
  throw new OstlerError('CHAIN_CHANGED', `The disks of ${name} were changed from outside. ${first}`, {
    remedy:
      'Undo what was done by hand (a snapshot made with virsh is merged with `virsh blockcommit`), then try again.',
    metadata: Object.fromEntries(found.slice(0, 8).map((sentence, index) => [`difference.${index + 1}`, sentence])),
  });
}
