import type { VmRecord } from '../../../proto/model/vm.js';
import type { CommandContext } from '../../command.js';
import { chainBelow, type ChainState } from '../../core/snapshot-chain/model.js';
import { markDeleting } from '../../core/snapshot-chain/plan.js';
import { doChores } from './merge.js';
import { openScene, readChain, save, type ChainDeps, type Scene } from './scene.js';
import { settle } from './settle.js';

/**
 * Before a VM's files go: a volume that was there before its disk stays, so what the guest wrote above it comes back into it
 * first. All snapshots of the VM are given up for that (M-096). The domain must be off.
 */
export async function mergeKeptVolumes(record: VmRecord, context: CommandContext, deps: ChainDeps): Promise<void> {
  const chain = await readChain(record, await deps.pools.list(), deps);
  if (chain === undefined) return;
  const behind = record.spec.disks.filter(
    ({ name, volume }) => volume !== undefined && (chain.state.current[name] ?? volume) !== volume,
  );
  if (behind.length === 0) return;
  const scene = await openScene(record, context, deps);
  const disks = new Set<string>();
  for (const { name } of behind) if (await isWhole(scene, name)) disks.add(name);
  if (disks.size === 0) return;
  await settle(scene, { short: false });
  const all = scene.doc.state.snapshots.map((one) => one.id);
  await save(scene, { state: all.reduce<ChainState>(markDeleting, scene.doc.state) });
  await doChores(scene, disks);
}

/** With a file missing there is nothing to be saved, and the rest of the VM still has to go. */
async function isWhole(scene: Scene, disk: string): Promise<boolean> {
  const { state } = scene.doc;
  for (const file of chainBelow(state, state.current[disk] ?? '')) {
    if (await scene.deps.host.files.exists(scene.path(file))) continue;
    scene.deps.log.warn({ vm: scene.record.id, disk, file }, 'a file of the disk is gone: its volume stays as it is');
    return false;
  }
  return true;
}
