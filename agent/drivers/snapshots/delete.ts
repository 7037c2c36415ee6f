import type { Command, CommandContext, Facts } from '../../command.js';
import { snapshotOf } from '../../core/snapshot-chain/model.js';
import { markDeleting, removeSnapshot } from '../../core/snapshot-chain/plan.js';
import { look, verify } from './look.js';
import { doChores, settleOn } from './merge.js';
import { openScene, save, type ChainDeps } from './scene.js';
import { settle } from './settle.js';

/**
 * V-52: a snapshot goes, and what only it needed is merged away, while the VM runs or not; all others stay. Absent is success.
 * Cut off or cancelled it stays in the list as `deleting`, and deleting it again goes on.
 */
export async function deleteSnapshot(
  command: Command<'snapshot-delete'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { record, snapshot: id } = command.body;
  const scene = await openScene(record, context, deps);
  await settle(scene, { short: false });
  if (snapshotOf(scene.doc.state, id) !== undefined) {
    await verify(scene, await look(scene));
    await save(scene, { state: markDeleting(scene.doc.state, id) });
    deps.fault('snapshot.marked');
  }
  await doChores(scene);
  if (snapshotOf(scene.doc.state, id) !== undefined) await settleOn(scene, removeSnapshot(scene.doc.state, id));
  return { snapshot: id };
}
