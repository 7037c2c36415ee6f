import { OstlerError } from '../../../proto/kit/errors.js';
import { newFiles, type ChainState, type Pending } from '../../core/snapshot-chain/model.js';
import { removeSnapshot } from '../../core/snapshot-chain/plan.js';
import { awaitQuiet } from './block-jobs.js';
import { look, type Look } from './look.js';
import { isIrrevocable, runMerge, settleOn } from './merge.js';
import { dropOverlays, redefine } from './overlays.js';
import { emptyTrash, save, type Scene } from './scene.js';

/**
 * Brings a change that was cut off to an end that loses nothing: forward when it has happened, back when it has not. Runs
 * before every verb that touches the disks, and before a start. `short`: a start does not wait for a merge that may wait.
 */
export async function settle(scene: Scene, options: { readonly short: boolean }): Promise<void> {
  const { pending } = scene.doc;
  if (pending === undefined) {
    await emptyTrash(scene);
    return;
  }
  scene.deps.log.info(
    { vm: scene.record.id, pending: pending.kind },
    'finishing a change of the disks that was cut off',
  );
  scene.deps.fault('snapshot.settling');
  switch (pending.kind) {
    case 'create':
      await settleCreate(scene, pending);
      break;
    case 'revert':
      await settleRevert(scene, pending);
      break;
    case 'commit':
    case 'pull':
      if (options.short && !(await isIrrevocable(scene, pending))) await save(scene, { pending: undefined });
      else await runMerge(scene, pending);
      break;
  }
  scene.deps.fault('snapshot.settled');
}

/** Whether the domain stands on the files of a state, for all disks that it tells of. */
function isOn(seen: Look, state: ChainState): boolean {
  return Object.entries(state.current).every(
    ([disk, file]) => seen.tops[disk] === undefined || seen.tops[disk] === file,
  );
}

function memoryFileOf(state: ChainState, id: string): readonly string[] {
  const file = state.snapshots.find((one) => one.id === id)?.memoryFile ?? '';
  return file === '' ? [] : [file];
}

/**
 * A domain that runs tells whether it was switched. One that ended in the meantime may have been switched without anybody
 * having written that down: then the overlays are taken as the present in any case, since an empty one changes nothing and
 * another one holds what the guest wrote last; the snapshot itself is given up.
 */
export async function settleCreate(scene: Scene, pending: Extract<Pending, { kind: 'create' }>): Promise<void> {
  let seen = await look(scene);
  if (seen.active) {
    await awaitQuiet(scene);
    seen = await look(scene);
  }
  const { next, snapshot } = pending;
  if (seen.defined && isOn(seen, next)) {
    await settleOn(scene, next);
    return;
  }
  const made = await Promise.all(
    newFiles(scene.doc.state, next).map((name) => scene.deps.host.files.exists(scene.path(name))),
  );
  const memory = memoryFileOf(next, snapshot);
  if (seen.active || made.includes(false)) {
    if (seen.defined && !isOn(seen, scene.doc.state)) throw neither(scene);
    await dropOverlays(scene, next, memory);
    return;
  }
  if (seen.defined && !isOn(seen, scene.doc.state)) throw neither(scene);
  if (seen.defined) await redefine(scene, next);
  await settleOn(scene, removeSnapshot(next, snapshot), memory);
}

function neither(scene: Scene): OstlerError {
  return new OstlerError('CHAIN_CHANGED', `The disks of ${scene.record.name} stand on files that nobody wrote down.`, {
    remedy: 'Somebody changed them by hand while a snapshot was made; put the domain back on its files.',
  });
}

/** Before the decision the overlays are nobody's; after it the present of before is given up. */
export async function settleRevert(scene: Scene, pending: Extract<Pending, { kind: 'revert' }>): Promise<void> {
  let seen = await look(scene);
  if (seen.active) {
    // Memory that is being read back by a call of the process before.
    await awaitQuiet(scene);
    seen = await look(scene);
  }
  const { next, decided } = pending;
  const before = isOn(seen, scene.doc.state);
  if (!decided || (seen.active && before)) {
    await dropOverlays(scene, next);
    return;
  }
  if (seen.defined && !before && !isOn(seen, next)) throw neither(scene);
  if (seen.defined && before) await redefine(scene, next);
  await settleOn(scene, next);
}
