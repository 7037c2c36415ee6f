import { OstlerError } from '../../../proto/kit/errors.js';
import { nextChore, type Chore } from '../../core/snapshot-chain/chores.js';
import { childrenOf, goneFiles, type ChainState, type Pending } from '../../core/snapshot-chain/model.js';
import { openFiles } from '../../core/snapshot-chain/reality.js';
import { isMirrorReady } from '../../xml/snapshot.js';
import { followJob } from './block-jobs.js';
import { backingOf, backingPath, look, type Look } from './look.js';
import { redefine } from './overlays.js';
import { emptyTrash, save, type Scene } from './scene.js';

type Merge = Extract<Pending, { kind: 'commit' | 'pull' }>;

/** A domain may stop or start under a merge; each time it is looked at anew. */
const ROUNDS = 10;

/**
 * Does what is left to do on the files until each of them is needed. Every point in between is a state that holds all
 * content, so that it can be cut off and be repeated.
 */
export async function doChores(scene: Scene, only?: ReadonlySet<string>): Promise<void> {
  const next = (): Chore | undefined => nextChore(scene.doc.state, only);
  for (let chore = next(); chore !== undefined; chore = next()) {
    scene.context.signal.throwIfAborted();
    if (chore.kind === 'drop') await settleOn(scene, chore.next);
    else await runMerge(scene, await planMerge(scene, chore));
  }
  await emptyTrash(scene);
}

/** The state is a fact: written down, and what it does not need any more goes. */
export async function settleOn(scene: Scene, next: ChainState, others: readonly string[] = []): Promise<void> {
  const found = [...scene.doc.trash, ...goneFiles(scene.doc.state, next), ...others];
  // Nothing is planned that would leave such a volume behind; if anything ever did, its content is not ours to remove.
  const trash = [...new Set(found)].filter((name) => !isGiven(scene, name));
  await save(scene, { state: next, pending: undefined, trash });
  await emptyTrash(scene);
}

/** A volume that was there before the VM's disk: its content is written into it, and it is never removed. */
function isGiven(scene: Scene, file: string): boolean {
  return scene.record.spec.disks.some((disk) => disk.volume === file);
}

/** Whichever way writes less: the file above into the one below, or the other way round where that is possible. */
async function planMerge(scene: Scene, chore: Extract<Chore, { kind: 'merge' }>): Promise<Merge> {
  const { disk, base, top } = chore;
  const { qemuImg } = scene.deps.host;
  const [below, above] = await Promise.all([qemuImg.glance(scene.path(base)), qemuImg.glance(scene.path(top))]);
  const guests = openFiles(scene.doc.state).has(top);
  const isTop = scene.doc.state.current[disk] === top;
  // libvirt copies upwards only into the file that the guest writes to.
  if (below.actualSizeBytes < above.actualSizeBytes && (isTop || !guests) && !isGiven(scene, base)) {
    const backing = scene.doc.state.files[base]?.backing ?? '';
    return { kind: 'pull', disk, top, backing, next: chore.pulled };
  }
  return { kind: 'commit', disk, base, top, next: chore.committed };
}

/** Writes it down, does it, writes down that it is done. A signal that aborts leaves the state before, which is as good. */
export async function runMerge(scene: Scene, merge: Merge): Promise<void> {
  if (scene.doc.pending !== merge) await save(scene, { pending: merge });
  scene.deps.fault('snapshot.merge-begun');
  try {
    await converge(scene, merge);
  } catch (error) {
    if (scene.context.signal.aborted && !(await isIrrevocable(scene, merge))) await save(scene, { pending: undefined });
    throw error;
  }
  scene.deps.fault('snapshot.merge-done');
  await settleOn(scene, merge.next);
}

async function converge(scene: Scene, merge: Merge): Promise<void> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const seen = await look(scene);
    const done = merge.kind === 'commit' ? await commitRound(scene, merge, seen) : await pullRound(scene, merge, seen);
    if (done) return;
  }
  throw new OstlerError('WRONG_STATE', `${scene.record.name} starts and stops while its disks are merged.`, {
    remedy: 'Try again when it has settled.',
  });
}

function progressOf(scene: Scene, merge: Merge): (percent: number) => void {
  return (percent) => scene.context.progress(percent, `merging disk ${merge.disk}: ${percent} %`);
}

/** False: the domain changed under it; look again. */
async function commitRound(scene: Scene, merge: Extract<Merge, { kind: 'commit' }>, seen: Look): Promise<boolean> {
  const { disk, base, top, next } = merge;
  const active = scene.doc.state.current[disk] === top;
  if (active && seen.tops[disk] === base && !(await hasJob(scene, merge, seen))) return true;
  const open = seen.active && openFiles(scene.doc.state).has(top);
  const { fault, host } = scene.deps;
  if (!open) {
    await host.qemuImg.commit(
      { top: scene.path(top), base: scene.path(base) },
      progressOf(scene, merge),
      scene.context.signal,
    );
    fault('snapshot.committed');
  } else if (active || !(await standsOn(scene, liveChild(scene, merge), base))) {
    if ((await commitLive(scene, merge, { active, dev: seen.devs[disk] ?? '' })) === 'off') return false;
  }
  for (const child of childrenOf(scene.doc.state, top)) {
    if ((await backingOf(scene, child)) === base) continue;
    await host.qemuImg.rename(scene.path(child), { path: scene.path(base), format: 'qcow2' });
    fault('snapshot.child-moved');
  }
  if (active && !seen.active && seen.defined) await redefine(scene, next);
  return true;
}

/** The file above `top` that the guest's disk reads through. */
function liveChild(scene: Scene, { top }: { readonly top: string }): string {
  const open = openFiles(scene.doc.state);
  return childrenOf(scene.doc.state, top).find((one) => open.has(one)) ?? '';
}

async function standsOn(scene: Scene, name: string, base: string): Promise<boolean> {
  return name !== '' && (await backingOf(scene, name)) === base;
}

async function hasJob(scene: Scene, { disk }: Merge, seen: Look): Promise<boolean> {
  if (!seen.active) return false;
  return (await scene.deps.hypervisor.blockJob(scene.record.uuid, seen.devs[disk] ?? '')) !== undefined;
}

async function commitLive(
  scene: Scene,
  merge: Extract<Merge, { kind: 'commit' }>,
  { active, dev }: { readonly active: boolean; readonly dev: string },
): Promise<'done' | 'off'> {
  const { hypervisor, fault } = scene.deps;
  const { uuid } = scene.record;
  // A job that a process before began is joined, not begun twice.
  if ((await hypervisor.blockJob(uuid, dev)) === undefined) {
    const files = { base: scene.path(merge.base), top: scene.path(merge.top), active };
    await hypervisor.commitBlock(uuid, dev, files);
  }
  fault('snapshot.merge-running');
  const ready = async (): Promise<boolean> => isMirrorReady(await hypervisor.domainXml(uuid), dev);
  const progress = progressOf(scene, merge);
  const end = await followJob(scene, dev, { progress, ready: active ? ready : undefined });
  if (end === 'off') return 'off';
  await requireDone(scene, merge, active);
  return 'done';
}

/** A job that vanished may have failed: only the chain tells. */
async function requireDone(scene: Scene, merge: Extract<Merge, { kind: 'commit' }>, active: boolean): Promise<void> {
  const done = active
    ? (await look(scene)).tops[merge.disk] === merge.base
    : await standsOn(scene, liveChild(scene, merge), merge.base);
  if (!done) throw jobFailed(scene, merge);
}

function jobFailed(scene: Scene, merge: Merge): OstlerError {
  return new OstlerError('STORAGE_ERROR', `Merging disk ${merge.disk} of ${scene.record.name} failed in QEMU.`, {
    remedy: 'Look at the room in the pool and at QEMU’s log, then delete the snapshot again; no data is lost.',
  });
}

async function pullRound(scene: Scene, merge: Extract<Merge, { kind: 'pull' }>, seen: Look): Promise<boolean> {
  const { disk, top, backing } = merge;
  if ((await backingOf(scene, top)) === backing) return true;
  const { hypervisor, host, fault } = scene.deps;
  const { uuid } = scene.record;
  const onto = await backingPath(scene, backing);
  if (!seen.active || !openFiles(scene.doc.state).has(top)) {
    await host.qemuImg.rebase(scene.path(top), onto, progressOf(scene, merge), scene.context.signal);
    fault('snapshot.pulled');
    return true;
  }
  const dev = seen.devs[disk] ?? '';
  if ((await hypervisor.blockJob(uuid, dev)) === undefined) await hypervisor.pullBlock(uuid, dev, onto?.path);
  fault('snapshot.merge-running');
  const end = await followJob(scene, dev, { progress: progressOf(scene, merge), ready: undefined });
  if (end === 'off') return false;
  if ((await backingOf(scene, top)) !== backing) throw jobFailed(scene, merge);
  return true;
}

/** Whether the chain is different already: then only going on leads to a state that is written down. */
export async function isIrrevocable(scene: Scene, merge: Merge): Promise<boolean> {
  if (merge.kind === 'pull') return (await backingOf(scene, merge.top)) === merge.backing;
  const seen = await look(scene);
  if (scene.doc.state.current[merge.disk] === merge.top) {
    const { tops } = seen;
    return tops[merge.disk] === merge.base;
  }
  const children = childrenOf(scene.doc.state, merge.top);
  const moved = await Promise.all(children.map((child) => standsOn(scene, child, merge.base)));
  return moved.includes(true);
}
