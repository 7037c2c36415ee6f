import { ostler } from '../../../proto/gen/ostler.js';
import { toPlain } from '../output/plain.js';
import type { View } from '../output/print.js';
import type { Tone } from '../output/text.js';
import { absoluteTime, bothTimes, relativeTime } from '../output/time.js';
import { formatBytes } from '../output/units.js';

const { v1 } = ostler;
type Snapshot = ostler.v1.Snapshot.$Properties;

/** A snapshot with its place in the tree. */
export interface SnapshotRow {
  readonly snapshot: Snapshot;
  /** `├─ ` and the like; empty for a root. */
  readonly branch: string;
}

export function snapshotState(snapshot: Snapshot): string {
  return (v1.SnapshotState[snapshot.state ?? 0] ?? 'unknown').replace(/^SNAPSHOT_(?:STATE_)?/, '').toLowerCase();
}

function toneOf({ snapshot }: SnapshotRow): Tone {
  return snapshotState(snapshot) === 'ready' ? (snapshot.now === true ? 'good' : 'plain') : 'busy';
}

export function deltaOf({ disks, memoryBytes }: Snapshot): number {
  return (disks ?? []).reduce((sum, disk) => sum + (disk.deltaBytes ?? 0), memoryBytes ?? 0);
}

function disksOf(snapshot: Snapshot): string {
  const names = (snapshot.disks ?? []).map((disk) => disk.name ?? '');
  return [...names, ...(snapshot.memory === true ? ['memory'] : [])].join(',');
}

export const snapshotView: View<SnapshotRow> = {
  columns: [
    {
      header: 'NAME',
      cell: ({ snapshot, branch }) => `${branch}${snapshot.name ?? ''}${snapshot.now === true ? '  ← now' : ''}`,
      raw: ({ snapshot }) => snapshot.name ?? '',
      tone: toneOf,
    },
    { header: 'ID', cell: ({ snapshot }) => snapshot.id ?? '', wide: true },
    { header: 'PARENT', cell: ({ snapshot }) => snapshot.parent ?? '', wide: true },
    { header: 'STATE', cell: ({ snapshot }) => snapshotState(snapshot) },
    { header: 'DISKS', cell: ({ snapshot }) => disksOf(snapshot) },
    {
      header: 'SIZE',
      cell: ({ snapshot }) => formatBytes(deltaOf(snapshot)),
      raw: ({ snapshot }) => deltaOf(snapshot),
      right: true,
    },
    {
      header: 'CREATED',
      cell: ({ snapshot }, now) => relativeTime(snapshot.createTime, now),
      raw: ({ snapshot }) => absoluteTime(snapshot.createTime),
    },
    { header: 'DESCRIPTION', cell: ({ snapshot }) => (snapshot.description ?? '').split('\n')[0] ?? '' },
  ],
  name: ({ snapshot }) => snapshot.name ?? '',
  json: ({ snapshot }) => toPlain(v1.Snapshot, snapshot),
  details: ({ snapshot }, now) => [
    ['Snapshot', `${snapshot.name ?? ''} (${snapshot.id ?? ''})`],
    ['VM', snapshot.vm ?? ''],
    ['State', snapshotState(snapshot)],
    ['Now', snapshot.now === true ? 'the VM grew from this snapshot' : 'no'],
    ['Description', snapshot.description ?? ''],
    ['Parent', snapshot.parent ?? ''],
    ['Disks', (snapshot.disks ?? []).map(diskLine).join('\n')],
    ['Memory', snapshot.memory === true ? formatBytes(snapshot.memoryBytes ?? 0) : 'no'],
    ['Quiesced', snapshot.quiesced === true ? 'yes' : 'no'],
    ['Tags', Object.entries(snapshot.tags ?? {}).map(([key, value]) => `${key}=${value}`).join('\n')], // prettier-ignore
    ['Created', bothTimes(snapshot.createTime, now)],
  ],
};

function diskLine(disk: ostler.v1.SnapshotDisk.$Properties): string {
  const { name, sizeBytes, deltaBytes, file } = disk;
  return `${name ?? ''}: ${formatBytes(sizeBytes ?? 0)}, ${formatBytes(deltaBytes ?? 0)} of its own in ${file ?? ''}`;
}

/** With branches drawn; the list comes parents first. */
export function drawTree(snapshots: readonly Snapshot[]): readonly SnapshotRow[] {
  const ids = new Set(snapshots.map((one) => one.id));
  const childrenOf = (parent: string): Snapshot[] =>
    snapshots.filter((one) => (ids.has(one.parent ?? '') ? one.parent : '') === parent);
  const walk = (parent: string, indent: string, root: boolean): SnapshotRow[] => {
    const children = childrenOf(parent);
    return children.flatMap((snapshot, index) => {
      const last = index === children.length - 1;
      const branch = root ? '' : `${indent}${last ? '└─ ' : '├─ '}`;
      const deeper = root ? '' : `${indent}${last ? '   ' : '│  '}`;
      return [{ snapshot, branch }, ...walk(snapshot.id ?? '', deeper, false)];
    });
  };
  return walk('', '', true);
}
