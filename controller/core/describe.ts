/** What a request would do, in sentences, for `validate_only` and `--dry-run`. */
import type { OperationArgs, PlacementDoc, VmDoc } from './model.js';
import { hostName } from './operations/machine.js';
import { shutdownFor, isUp } from './operations/vm-delete.js';
import { sizeText } from './sizes.js';
import type { ClusterView } from './view.js';
import type { SnapshotWish } from '../../proto/model/snapshot.js';
import type { Disk } from '../../proto/model/vm.js';

export function describePlan(
  args: OperationArgs,
  vm: VmDoc | undefined,
  placement: PlacementDoc | undefined,
  view: ClusterView,
): readonly string[] {
  if (args.kind === 'image.delete') return ['Remove the image and its copies on the hosts.'];
  if (args.kind === 'vm.create') return describeCreate(args, placement, view);
  if (vm === undefined) return [];
  const name = vm.record.name;
  const host = hostName(view, vm.hostId);
  switch (args.kind) {
    case 'vm.start':
      return [`Rebuild the domain of ${name} on ${host} from its record.`, `Start ${name}.`];
    case 'vm.stop':
      return [stopSentence(name, args.force, args.timeoutSeconds, args.onTimeout)];
    case 'vm.reboot':
      return [args.force ? `Reset ${name} at once.` : `Ask the guest of ${name} to restart.`];
    case 'vm.delete':
      return [
        ...stopFirst(vm, args.force),
        `Mark ${name} as deleted; its disks stay on ${host} for ${hours(view.policy.purgeDelayMs)}.`,
      ];
    case 'vm.expunge':
      return [...(args.force ? [] : stopFirst(vm, false)), `Remove ${name} and all its disks from ${host} for good.`];
    case 'vm.update':
      return [
        `Change ${
          Object.keys(args.changes)
            .filter((key) => key !== 'deleteVolumes')
            .join(', ') || 'nothing'
        } of ${name}.`,
      ];
    case 'snapshot.create':
      return [describeSnapshot(args.wish, name)];
    case 'snapshot.revert':
      return [
        `Go back to the snapshot ${args.name}: what ${name} wrote to its disks since is lost; all snapshots stay.`,
        ...(args.memory ? [`Let ${name} run on from that moment.`] : []),
      ];
    case 'snapshot.delete':
      return [`Merge what only the snapshot ${args.name} of ${name} needs, and remove it.`];
    case 'snapshot.update':
      return [`Change ${Object.keys(args.changes).join(', ') || 'nothing'} of the snapshot ${args.name} of ${name}.`];
    case 'snapshot.flatten':
      return [`Copy all that ${args.disks.join(', ') || 'every disk'} of ${name} reads into its own file.`];
    case 'vm.undelete':
      return [`Bring ${name} back as a stopped VM on ${host}.`];
    case 'vm.pause':
      return [`Pause ${name}: its guest stands still, its memory stays in use on ${host}.`];
    case 'vm.resume':
      return [vm.settled === 'suspended' ? `Start ${name} from its saved memory on ${host}.` : `Let ${name} go on.`];
    case 'vm.suspend':
      return [`Write the memory of ${name} to a disk of ${host}.`, `Power ${name} off.`];
    case 'vm.nmi':
      return [`Send a non-maskable interrupt to the guest of ${name}.`];
    case 'vm.rebuild':
      return [
        ...args.spec.disks
          .filter((disk, index) => isRebuilt(vm.record.spec.disks[index], disk, index))
          .map((disk) => diskSentence(disk, view)),
        `All data on the root disk of ${name} is lost; its other disks stay.`,
      ];
  }
}

function describeSnapshot({ name, disks, memory, quiesce }: SnapshotWish, vm: string): string {
  const what = memory ? 'all disks and the memory' : disks.length === 0 ? 'the boot disk' : disks.join(', ');
  return `Take the snapshot ${name} of ${what} of ${vm}${quiesce ? ', its file systems frozen for a moment' : ''}.`;
}

/** The root disk always is; of the others only a CD-ROM that changes. */
function isRebuilt(before: Disk | undefined, after: Disk, index: number): boolean {
  return index === 0 || before?.image !== after.image;
}

function describeCreate(
  { record, start, source }: Extract<OperationArgs, { kind: 'vm.create' }>,
  placement: PlacementDoc | undefined,
  view: ClusterView,
): readonly string[] {
  const host = placement === undefined ? 'a host' : hostName(view, placement.hostId);
  return [
    `Place ${record.name} on ${host}${placement === undefined ? '' : ` (score ${placement.score})`}.`,
    ...record.spec.disks.map((disk) =>
      source === undefined
        ? diskSentence(disk, view)
        : `Copy the disk ${disk.name} of ${sizeText(disk.sizeBytes)} from the snapshot ${source.name} of ${source.record.name}.`,
    ),
    ...(record.spec.cloudInit.enabled ? [`Write the cloud-init seed for user ${record.spec.cloudInit.user}.`] : []),
    `Define the domain with ${record.spec.cpu.vcpus} vCPUs and ${sizeText(record.spec.memory.sizeBytes)}.`,
    ...(start ? [`Start ${record.name}.`] : []),
  ];
}

function diskSentence(disk: Disk, view: ClusterView): string {
  const pool = disk.pool === '' ? 'the default pool' : `pool ${disk.pool}`;
  if (disk.device === 'cdrom') {
    const what = disk.image === '' ? 'an empty drive' : (view.image(disk.image)?.name ?? disk.image);
    return `Give it the CD-ROM ${disk.name}: ${what}.`;
  }
  if (disk.image === '') return `Make the blank disk ${disk.name} of ${sizeText(disk.sizeBytes)} in ${pool}.`;
  const image = view.image(disk.image)?.name ?? disk.image;
  const how = disk.clone === 'overlay' ? 'an overlay' : 'a full copy';
  return `Make the disk ${disk.name} of ${sizeText(disk.sizeBytes)} in ${pool}: ${how} of ${image}.`;
}

function stopFirst(vm: VmDoc, force: boolean): readonly string[] {
  if (!isUp(vm)) return [];
  const { timeoutSeconds, onTimeout } = shutdownFor(vm, force);
  return [stopSentence(vm.record.name, force, timeoutSeconds, onTimeout)];
}

function stopSentence(
  name: string,
  force: boolean,
  timeoutSeconds: number,
  onTimeout: 'keep-running' | 'force-off',
): string {
  if (force) return `Power ${name} off at once, like pulling the plug.`;
  const after = onTimeout === 'force-off' ? 'then pull the plug' : 'and leave it running if it does not';
  return `Ask the guest of ${name} to power off within ${timeoutSeconds} s, ${after}.`;
}

function hours(ms: number): string {
  const value = ms / 3_600_000;
  return value >= 1 ? `${Math.round(value)} h` : `${Math.round(ms / 60_000)} min`;
}
