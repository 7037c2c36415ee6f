import type { Command, CommandContext, Facts } from '../../command.js';
import { describeSnapshot } from '../../core/snapshot-chain/plan.js';
import { openScene, refusalError, save, type ChainDeps } from './scene.js';
import { settle } from './settle.js';

/** C-133: name, description, tags; nothing of the disks is touched. */
export async function updateSnapshot(
  command: Command<'snapshot-update'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { record, snapshot: id, changes } = command.body;
  const scene = await openScene(record, context, deps);
  await settle(scene, { short: false });
  const plan = describeSnapshot(scene.doc.state, id, changes);
  if (!plan.ok) throw refusalError(plan.refusal);
  await save(scene, { state: plan.next });
  return { snapshot: id };
}
