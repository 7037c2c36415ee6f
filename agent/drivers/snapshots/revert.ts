import { OstlerError } from '../../../proto/kit/errors.js';
import type { Command, CommandContext, Facts } from '../../command.js';
import { snapshotOf, type ChainState, type SnapshotNode } from '../../core/snapshot-chain/model.js';
import { missingSnapshot, planRevert } from '../../core/snapshot-chain/plan.js';
import { editDomain, setRecord } from '../../xml/edit.js';
import { unless } from '../domain-state.js';
import { asOstlerError } from '../xml-errors.js';
import { look, verify, type Look } from './look.js';
import { doChores, settleOn } from './merge.js';
import { dropOverlays, makeOverlays, redefine, withFiles } from './overlays.js';
import { hardwareOf, openScene, refusalError, save, type ChainDeps, type Scene } from './scene.js';
import { settle } from './settle.js';

/**
 * The disks of a snapshot become what they were; later data of them is lost, all snapshots stay. Without memory the VM must
 * be stopped (C-132); with memory it runs on from that moment, whatever it does now (V-50).
 */
export async function revertSnapshot(
  command: Command<'snapshot-revert'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { record, snapshot: id } = command.body;
  const scene = await openScene(record, context, deps);
  const { pending } = scene.doc;
  const resumed = pending?.kind === 'revert' && pending.snapshot === id && pending.decided;
  await settle(scene, { short: false });
  const seen = await look(scene);
  const node = snapshotOf(scene.doc.state, id);
  const memory = (node?.memoryFile ?? '') !== '';
  if (!(resumed && scene.doc.state.now === id && seen.active === memory)) {
    await verify(scene, seen);
    await carryOut(scene, requireNode(node, id), seen);
  }
  await doChores(scene);
  return { snapshot: id, running: String(memory) };
}

function requireNode(node: SnapshotNode | undefined, id: string): SnapshotNode {
  if (node !== undefined) return node;
  const plan = missingSnapshot(id);
  throw plan.ok ? new Error('unreachable') : refusalError(plan.refusal);
}

async function carryOut(scene: Scene, node: SnapshotNode, seen: Look): Promise<void> {
  const plan = planRevert(scene.doc.state, node.id, {
    ...{ vmId: scene.record.id, disks: scene.disks, hardware: hardwareOf(scene.record) },
  });
  if (!plan.ok) throw refusalError(plan.refusal);
  if (seen.active && node.memoryFile === '') throw stillRuns(scene, node);
  const { next } = plan;
  const { fault } = scene.deps;
  const pending = { kind: 'revert', snapshot: node.id, decided: false, next } as const;
  await save(scene, { pending });
  try {
    await makeOverlays(scene, next);
    scene.context.signal.throwIfAborted();
  } catch (error) {
    await dropOverlays(scene, next);
    throw error;
  }
  if (seen.active) await powerOff(scene);
  await save(scene, { pending: { ...pending, decided: true } });
  fault('snapshot.decided');
  if (seen.defined) await redefine(scene, next);
  if (node.memoryFile !== '') await restore(scene, node, next);
  await settleOn(scene, next);
}

async function powerOff(scene: Scene): Promise<void> {
  const { hypervisor, intents, fault } = scene.deps;
  intents.set(scene.record.uuid, 'destroy');
  await unless(['NOT_FOUND', 'WRONG_STATE'], () => hypervisor.destroyDomain(scene.record.uuid));
  fault('snapshot.powered-off');
}

async function restore(scene: Scene, node: SnapshotNode, next: ChainState): Promise<void> {
  const { hypervisor, intents, fault } = scene.deps;
  const path = scene.path(node.memoryFile);
  scene.context.progress(50, 'reading memory back');
  const saved = withFiles(scene, await hypervisor.savedDomainXml(path), next);
  // The record of then names an assignment of then.
  const xml = asOstlerError(() => editDomain(saved, [setRecord(scene.record)]));
  intents.set(scene.record.uuid, 'none');
  await hypervisor.restoreDomain(path, xml);
  fault('snapshot.restored');
}

function stillRuns(scene: Scene, node: SnapshotNode): OstlerError {
  return new OstlerError(
    'WRONG_STATE',
    `${scene.record.name} runs; ${node.name} has no memory, so that the VM must be stopped to go back to it.`,
    { remedy: `Stop it first: \`ostler stop ${scene.record.name}\`.`, metadata: { state: 'running' } },
  );
}
