import { OstlerError } from '../../../proto/kit/errors.js';
import { rootDisk, type VmRecord } from '../../../proto/model/vm.js';
import type { Command, CommandContext, Facts } from '../../command.js';
import { snapshotOf, type ChainState } from '../../core/snapshot-chain/model.js';
import { disksOf, planCreate, type CreateFacts, type SnapshotWish } from '../../core/snapshot-chain/plan.js';
import type { DiskSwitches } from '../../hypervisor.js';
import { look, verify, type Look } from './look.js';
import { settleOn } from './merge.js';
import { dropOverlays, makeOverlays, redefine } from './overlays.js';
import { hardwareOf, openScene, refusalError, save, type ChainDeps, type Scene } from './scene.js';
import { settle, settleCreate } from './settle.js';

/**
 * A snapshot of a VM that runs (C-129: the guest goes on; with `quiesce` its file systems are frozen for a moment, M-094; with
 * memory it stands still at the very end) or is stopped. On failure everything is as it was before.
 */
export async function createSnapshot(
  command: Command<'snapshot-create'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { waitMs, wish } = command.body;
  const end = new AbortController();
  const late = new OstlerError('TIMEOUT', `The snapshot ${wish.name} was not taken within ${waitMs / 1000} s.`, {
    remedy:
      'Nothing was changed. Try again when the host is less busy, without memory, or with snapshotWaitSeconds raised.',
  });
  const over = new AbortController();
  // M-090
  void deps.clock.sleep(waitMs, over.signal).then(() => end.abort(late), () => undefined); // prettier-ignore
  try {
    return await takeSnapshot(command, { ...context, signal: AbortSignal.any([context.signal, end.signal]) }, deps);
  } catch (error) {
    // What libvirt says of a save that was aborted tells nobody why.
    throw end.signal.aborted && !context.signal.aborted ? late : error;
  } finally {
    over.abort();
  }
}

async function takeSnapshot(
  command: Command<'snapshot-create'>,
  context: CommandContext,
  deps: ChainDeps,
): Promise<Facts> {
  const { record, wish, limit } = command.body;
  const scene = await openScene(record, context, deps);
  await settle(scene, { short: false });
  if (snapshotOf(scene.doc.state, wish.id) !== undefined) return factsOf(scene, wish.id);
  const seen = await look(scene);
  await verify(scene, seen);
  if (seen.active && !seen.running) throw notAtRest(scene);
  const facts: CreateFacts = {
    ...{ vmId: record.id, disks: scene.disks, running: seen.running, time: deps.clock.now(), limit },
    sizes: await sizesOf(scene, disksOf(wish, scene)),
    hardware: hardwareOf(record),
  };
  refuseRaw(record, disksOf(wish, scene));
  refuseReset(record, disksOf(wish, scene));
  const plan = planCreate(scene.doc.state, wish, facts);
  if (!plan.ok) throw refusalError(plan.refusal);
  if (wish.quiesce && !seen.agentConnected) throw noAgent(scene);
  await carryOut(scene, plan.next, wish, seen);
  return factsOf(scene, wish.id);
}

/** Its overlay would be told that it stands on qcow2; a raw file that a guest writes to must not be guessed at either. */
function refuseRaw({ spec }: VmRecord, disks: readonly string[]): void {
  const raw = spec.disks.find(
    ({ name, volume }) => disks.includes(name) && volume !== undefined && !volume.endsWith('.qcow2'),
  );
  if (raw === undefined) return;
  throw new OstlerError(
    'UNSUPPORTED',
    `The disk ${raw.name} is the raw volume ${raw.volume ?? ''}: it has no snapshots.`,
    {
      field: 'spec.disks',
      remedy: 'Name only disks whose volumes are qcow2, or convert this one.',
    },
  );
}

/** M-034: its root disk is made anew at the next start, which a snapshot of it would forbid. */
function refuseReset(record: VmRecord, disks: readonly string[]): void {
  const root = rootDisk(record.spec)?.name ?? '';
  if (record.spec.resetRootAtReboot !== true || !disks.includes(root)) return;
  throw new OstlerError('WRONG_STATE', `The root disk ${root} of ${record.name} is made anew at every start.`, {
    field: 'disks',
    remedy: 'Take snapshots of its other disks only: name them.',
  });
}

function factsOf(scene: Scene, id: string): Facts {
  const node = snapshotOf(scene.doc.state, id);
  return { snapshot: id, disks: Object.keys(node?.disks ?? {}).join(',') };
}

async function sizesOf(scene: Scene, disks: readonly string[]): Promise<Record<string, number>> {
  const sizes: Record<string, number> = {};
  for (const disk of disks) {
    const file = scene.doc.state.current[disk];
    if (file !== undefined) sizes[disk] = (await scene.deps.host.qemuImg.glance(scene.path(file))).virtualSizeBytes;
  }
  return sizes;
}

async function carryOut(scene: Scene, next: ChainState, wish: SnapshotWish, seen: Look): Promise<void> {
  const { fault, log } = scene.deps;
  const pending = { kind: 'create', snapshot: wish.id, next } as const;
  await save(scene, { pending });
  try {
    await makeOverlays(scene, next);
    scene.context.signal.throwIfAborted();
    if (seen.active) await switchLive(scene, next, wish);
    else if (seen.defined) await redefine(scene, next);
    fault('snapshot.switched');
  } catch (error) {
    // What the domain says decides: libvirt may have done it although its answer was lost.
    const undone = seen.active
      ? settleCreate({ ...scene, context: { ...scene.context, signal: NEVER } }, pending)
      : dropOverlays(scene, next);
    await undone.catch((again: unknown) => log.error({ err: again, vm: scene.record.id }, 'left to the next verb'));
    throw error;
  }
  await settleOn(scene, next);
}

/** Taking something back is not cancelled. */
const NEVER = new AbortController().signal;

async function switchLive(scene: Scene, next: ChainState, wish: SnapshotWish): Promise<void> {
  const node = snapshotOf(next, wish.id);
  const { drives, devs } = await look(scene);
  const devOf = (disk: string): string => devs[disk] ?? '';
  const overlays = new Map(
    Object.keys(node?.disks ?? {}).map((disk) => [devOf(disk), scene.path(next.current[disk] ?? '')]),
  );
  const memoryFile = node === undefined || node.memoryFile === '' ? '' : scene.path(node.memoryFile);
  const switches: DiskSwitches = {
    overlays,
    others: drives.map((one) => one.dev).filter((dev) => !overlays.has(dev)),
    memoryFile,
    quiesce: wish.quiesce,
  };
  if (memoryFile !== '') scene.context.progress(10, 'saving memory');
  scene.deps.fault('snapshot.switching');
  await scene.deps.hypervisor.snapshotDomain(scene.record.uuid, switches, scene.context.signal);
}

function notAtRest(scene: Scene): OstlerError {
  return new OstlerError('WRONG_STATE', `${scene.record.name} neither runs nor is stopped.`, {
    remedy: 'Resume it or stop it, then take the snapshot.',
  });
}

function noAgent(scene: Scene): OstlerError {
  return new OstlerError('WRONG_STATE', `The guest agent of ${scene.record.name} is not connected.`, {
    field: 'quiesce',
    remedy: 'Start qemu-guest-agent in the guest, or take the snapshot without quiesce.',
  });
}
