import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { say, type Context } from '../context.js';
import { toPlain } from '../output/plain.js';
import { printList, type View } from '../output/print.js';
import { harmless } from '../output/text.js';
import { formatBytes } from '../output/units.js';
import { examples, type Shell } from '../shell.js';

type Volume = ostler.v1.Volume.$Properties;

export function addVolume(program: Command, shell: Shell): void {
  const volume = program.command('volume').description('volumes that are no VM’s own: kept ones and those of others');
  volume
    .command('list')
    .alias('ls')
    .description('what removed disks left behind, and what else in the pools can be made a disk')
    .option('--host <name>', 'only on this host')
    .option('--pool <name>', 'only in pools of this name')
    .option('--free', 'only those that a disk can be made of now')
    .addHelpText('after', examples('ostler volume list --free', 'ostler vm disk add web1 volume=old.qcow2'))
    .action(shell.verb(listVolumes));
}

interface ListFlags {
  readonly host?: string;
  readonly pool?: string;
  readonly free?: boolean;
}

// C-076
async function listVolumes(context: Context, { host = '', pool = '', free = false }: ListFlags): Promise<number> {
  const { volumes, missing } = await context
    .clients()
    .volumes.listVolumes({ host, pool, free }, { signal: context.io.interrupted });
  await printList(context, volumeView, volumes, 'No volumes but those of the VMs.');
  for (const [name, why] of Object.entries(missing)) say(context, `Not asked: ${harmless(name)}: ${harmless(why)}`);
  return 0;
}

function stateOf(volume: Volume): string {
  if (volume.usedBy) return `used by ${volume.usedBy}`;
  return volume.problem ? 'unusable' : 'free';
}

function origin({ fromVm, fromVmName, fromDisk }: Volume): string {
  return fromVm ? `${fromDisk ?? ''} of ${fromVmName || fromVm}` : '';
}

const volumeView: View<Volume> = {
  columns: [
    { header: 'NAME', cell: (volume) => volume.name ?? '' },
    {
      header: 'STATE',
      cell: stateOf,
      tone: (volume) => (volume.usedBy ? 'plain' : volume.problem ? 'bad' : 'good'),
    },
    {
      header: 'SIZE',
      cell: (volume) => formatBytes(volume.sizeBytes ?? 0),
      raw: (volume) => volume.sizeBytes ?? 0,
      right: true,
    },
    {
      header: 'TAKES',
      cell: (volume) => formatBytes(volume.actualBytes ?? 0),
      raw: (volume) => volume.actualBytes ?? 0,
      right: true,
    },
    { header: 'POOL', cell: (volume) => volume.pool ?? '' },
    { header: 'HOST', cell: (volume) => volume.hostName ?? '' },
    { header: 'KEPT FROM', cell: origin },
    { header: 'FORMAT', cell: (volume) => volume.format ?? '', wide: true },
    { header: 'PROBLEM', cell: (volume) => volume.problem ?? '', wide: true },
  ],
  name: (volume) => volume.name ?? '',
  json: (volume) => toPlain(ostler.v1.Volume, volume),
  details: (volume) => [['Volume', volume.name ?? '']],
};
