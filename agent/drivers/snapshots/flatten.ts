import { OstlerError } from '../../../proto/kit/errors.js';
import type { Command, CommandContext, Facts } from '../../command.js';
import { afterPull } from '../../core/snapshot-chain/chores.js';
import { look, verify } from './look.js';
import { doChores, runMerge } from './merge.js';
import { openScene, type ChainDeps, type Scene } from './scene.js';
import { settle } from './settle.js';

/**
 * Everything that a disk reads is copied into the file that it writes to: it stands on no image and no snapshot any more.
 * Snapshots stay. Without names: all disks.
 */
export async function flattenDisks(
  command: Command<'snapshot-flatten'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { record, disks } = command.body;
  const scene = await openScene(record, context, deps);
  await settle(scene, { short: false });
  const unknown = disks.find((disk) => !scene.disks.includes(disk));
  if (unknown !== undefined)
    throw new OstlerError('NOT_FOUND', `The VM has no disk ${unknown}.`, {
      field: 'disks',
      remedy: `It has: ${scene.disks.join(', ')}.`,
    });
  await verify(scene, await look(scene));
  for (const { name, volume } of record.spec.disks)
    if (
      volume !== undefined &&
      (disks.length === 0 || disks.includes(name)) &&
      scene.doc.state.current[name] !== volume
    )
      throw wouldLeaveVolume(scene, name, volume);
  for (const disk of disks.length === 0 ? scene.disks : disks) {
    const top = scene.doc.state.current[disk] ?? '';
    if (scene.doc.state.files[top]?.backing === '') continue;
    const next = afterPull(scene.doc.state, top, '');
    await runMerge(scene, { kind: 'pull', disk, top, backing: '', next });
  }
  await doChores(scene);
  return {};
}

/** The volume was there before the disk and stays when it goes: what the guest wrote must come back into it. */
function wouldLeaveVolume(scene: Scene, disk: string, volume: string): OstlerError {
  return new OstlerError(
    'WRONG_STATE',
    `The disk ${disk} of ${scene.record.name} is the volume ${volume} with snapshots.`,
    {
      field: 'disks',
      remedy: 'Delete the snapshots that contain it first: that merges everything into the volume.',
      metadata: { disk, volume },
    },
  );
}
