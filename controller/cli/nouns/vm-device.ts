import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../../../proto/kit/errors.js';
import { confirmLoss } from '../confirm.js';
import type { Context } from '../context.js';
import { usageError } from '../errors.js';
import { parseCount, parseKeyValues } from '../input/key-values.js';
import { parseSize } from '../input/size.js';
import { diskOf, nicOf } from '../input/vm-flags.js';
import { mutate } from '../mutate.js';
import { toPlain } from '../output/plain.js';
import { printList, type View } from '../output/print.js';
import { examples, type Shell } from '../shell.js';
import { word } from './vm-view.js';

const { v1 } = ostler;
type Disk = ostler.v1.Disk.$Properties;
type Nic = ostler.v1.Nic.$Properties;
type Spec = ostler.v1.VmSpec.$Properties;

const NAME = ['<name>', 'name, id or UUID of the VM'] as const;

/** Reads the VM, changes one list of its spec, and lets the etag refuse what somebody else changed in between. */
async function change(
  context: Context,
  vm: string,
  done: string,
  make: (spec: Spec) => { readonly values: Spec; readonly path: string; readonly deleteVolumes?: boolean },
): Promise<number> {
  const { vms } = context.clients();
  const { interrupted: signal } = context.io;
  const { spec, etag } = await vms.getVm({ vm }, { signal });
  const { values, path, deleteVolumes = false } = make(spec ?? {});
  return mutate(context, done, (fields) =>
    vms.updateVm(
      { vm, values: { spec: values }, updateMask: { paths: [path] }, etag, deleteVolumes, ...fields },
      { signal },
    ),
  );
}

function replaceDisk(spec: Spec, name: string, make: (disk: Disk) => Disk): Disk[] {
  const disks = spec.disks ?? [];
  if (!disks.some((disk) => disk.name === name)) throw noDevice('disk', name, disks);
  return disks.map((disk) => (disk.name === name ? make(disk) : disk));
}

function noDevice(what: string, name: string, there: readonly { readonly name?: string | null }[]): OstlerError {
  const names = there.map((one) => one.name ?? '').join(', ');
  return new OstlerError('NOT_FOUND', `The VM has no ${what} ${JSON.stringify(name)}.`, {
    remedy: `It has: ${names}.`,
  });
}

export function addVmDisk(parent: Command, shell: Shell): void {
  const disk = parent.command('disk').description('disks of a VM; they come, go and grow while it runs');
  disk
    .command('add')
    .description('add a data disk; a running VM sees it at once')
    .argument(...NAME)
    .argument('<keys>', 'name=,size=,bus=virtio|scsi,pool=,image=,clone=,volume= (a volume that is there)')
    .addHelpText(
      'after',
      examples('ostler vm disk add web1 name=data1,size=20GiB', 'ostler vm disk add web1 volume=old.qcow2'),
    )
    .action(
      // C-102, C-114
      shell.verb((context: Context, vm: string, keys: string) =>
        change(context, vm, 'has the disk', (spec) => {
          const disks = spec.disks ?? [];
          const added = diskOf(keys, freeNumber('data', disks), 'keys');
          if (disks.some((one) => one.name === added.name))
            throw invalidField('keys', `${added.name} is there already`);
          return { values: { disks: [...disks, added] }, path: 'spec.disks' };
        }),
      ),
    );
  disk
    .command('remove')
    .description('take a data disk out (unmount it in the guest first); its volume stays in the pool')
    .argument(...NAME)
    .argument('<disk>', 'name of the disk')
    .option('--delete', 'remove its volume and what is on it')
    .addHelpText(
      'after',
      examples('ostler vm disk remove web1 data1', 'ostler vm disk remove web1 data1 --delete --yes'),
    )
    .action(
      // C-115, C-116
      shell.verb(async (context: Context, vm: string, name: string, flags: { readonly delete?: boolean }) => {
        const deleteVolumes = flags.delete === true;
        if (deleteVolumes) await confirmLoss(context, `Remove the disk ${name} of ${vm} and what is on it?`);
        return change(context, vm, `is without the disk ${name}`, (spec) => {
          const disks = spec.disks ?? [];
          const rest = disks.filter((one) => one.name !== name);
          if (rest.length === disks.length) throw noDevice('disk', name, disks);
          return { values: { disks: rest }, path: 'spec.disks', deleteVolumes };
        });
      }),
    );
  disk
    .command('grow')
    .description('make a disk larger; partitions and file systems are grown in the guest')
    .argument(...NAME)
    .argument('<disk>', 'name of the disk')
    .argument('<size>', 'new size, such as 40GiB; disks never shrink')
    .addHelpText('after', examples('ostler vm disk grow web1 root 40GiB'))
    .action(
      // C-117, M-033
      shell.verb((context: Context, vm: string, name: string, size: string) =>
        change(context, vm, `has ${size} on ${name}`, (spec) => ({
          values: { disks: replaceDisk(spec, name, (one) => ({ ...one, sizeBytes: parseSize(size, 'size') })) },
          path: 'spec.disks',
        })),
      ),
    );
  disk
    .command('limit')
    .description('limit what a disk may do in a second')
    .argument(...NAME)
    .argument('<disk>', 'name of the disk')
    .argument('<keys>', 'read-iops=,write-iops=,read=,write= (bytes such as 50MiB), or none')
    .addHelpText(
      'after',
      examples('ostler vm disk limit web1 data1 write-iops=500,write=50MiB', 'ostler vm disk limit web1 data1 none'),
    )
    .action(
      shell.verb((context: Context, vm: string, name: string, keys: string) =>
        change(context, vm, `has new limits on ${name}`, (spec) => ({
          values: { disks: replaceDisk(spec, name, (one) => ({ ...one, limits: limitsOf(keys) })) },
          path: 'spec.disks',
        })),
      ),
    );
}

function limitsOf(text: string): ostler.v1.DiskLimits.$Properties {
  if (text === 'none') return {};
  const keys = parseKeyValues(text, 'keys', ['read', 'write', 'read-iops', 'write-iops']);
  const bytes = (value: string | undefined): number => (value === undefined ? 0 : parseSize(value, 'keys'));
  const number = (value: string | undefined): number => (value === undefined ? 0 : parseCount(value, 'keys'));
  return {
    readBytesPerSecond: bytes(keys.read),
    writeBytesPerSecond: bytes(keys.write),
    readIops: number(keys['read-iops']),
    writeIops: number(keys['write-iops']),
  };
}

/** For the name that a device without one gets: `data1` is 0, so the index of the first that is free. */
function freeNumber(stem: string, there: readonly { readonly name?: string | null }[]): number {
  const names = new Set(there.map((one) => one.name));
  let index = 0;
  while (names.has(`${stem}${index + 1}`)) index += 1;
  return index;
}

export function addVmNic(parent: Command, shell: Shell): void {
  const nic = parent.command('nic').description('secondary NICs of a VM; they come and go while it runs');
  nic
    .command('add')
    .description('add a NIC; it works in a running guest at once')
    .argument(...NAME)
    .argument('[keys]', 'name=,bridge=,mac=,model=,mtu=,vlan=')
    .addHelpText('after', examples('ostler vm nic add web1', 'ostler vm nic add web1 bridge=br-dmz'))
    .action(
      // C-100, C-112
      shell.verb((context: Context, vm: string, keys: string | undefined) =>
        change(context, vm, 'has the NIC', (spec) => {
          const nics = spec.nics ?? [];
          const added: Nic = nicOf(
            keys ?? `name=nic${freeNumber('nic', nics) + 1}`,
            freeNumber('nic', nics) + 1,
            'keys',
          );
          if (nics.some((one) => one.name === added.name)) throw invalidField('keys', `${added.name} is there already`);
          return { values: { nics: [...nics, added] }, path: 'spec.nics' };
        }),
      ),
    );
  nic
    .command('remove')
    .description('take a secondary NIC out; the first one stays')
    .argument(...NAME)
    .argument('<nic>', 'name of the NIC')
    .addHelpText('after', examples('ostler vm nic remove web1 nic1'))
    .action(
      // C-101, C-113
      shell.verb((context: Context, vm: string, name: string) =>
        change(context, vm, `is without the NIC ${name}`, (spec) => {
          const nics = spec.nics ?? [];
          const rest = nics.filter((one) => one.name !== name);
          if (rest.length === nics.length) throw noDevice('NIC', name, nics);
          return { values: { nics: rest }, path: 'spec.nics' };
        }),
      ),
    );
}

export function addVmCdrom(parent: Command, shell: Shell): void {
  const cdrom = parent.command('cdrom').description("media in a VM's CD-ROM drives");
  const drive = ['--drive <disk>', 'name of the drive (default: the only one)'] as const;
  cdrom
    .command('insert')
    .description('put an ISO image into a drive')
    .argument(...NAME)
    .argument('<image>', 'name or id of an ISO image')
    .option(...drive)
    .addHelpText('after', examples('ostler vm cdrom insert web1 drivers'))
    .action(
      shell.verb((context: Context, vm: string, image: string, flags: { readonly drive?: string }) =>
        change(context, vm, `holds ${image}`, (spec) => setMedium(spec, flags.drive, image)),
      ),
    );
  cdrom
    .command('eject')
    .description('take the medium out of a drive')
    .argument(...NAME)
    .option(...drive)
    .addHelpText('after', examples('ostler vm cdrom eject web1'))
    .action(
      shell.verb((context: Context, vm: string, flags: { readonly drive?: string }) =>
        change(context, vm, 'has an empty drive', (spec) => setMedium(spec, flags.drive, '')),
      ),
    );
}

function setMedium(spec: Spec, drive: string | undefined, image: string): { values: Spec; path: string } {
  const drives = (spec.disks ?? []).filter((disk) => disk.device === v1.DiskDevice.CDROM);
  if (drives.length === 0)
    throw new OstlerError('NOT_FOUND', 'The VM has no CD-ROM drive.', { remedy: 'Add one while it is stopped.' });
  if (drive === undefined && drives.length > 1)
    throw usageError('The VM has several CD-ROM drives.', `Name one: --drive ${drives[0]?.name ?? ''}`, '--drive');
  const name = drive ?? drives[0]?.name ?? '';
  if (!drives.some((disk) => disk.name === name)) throw noDevice('CD-ROM drive', name, drives);
  return { values: { disks: replaceDisk(spec, name, (disk) => ({ ...disk, image })) }, path: 'spec.disks' };
}

type Change = ostler.v1.SpecChange.$Properties;

const changeView: View<Change> = {
  columns: [
    { header: 'FIELD', cell: (one) => one.field ?? '' },
    { header: 'WHEN', cell: (one) => word(v1.ChangeTime[one.time ?? 0]) },
    { header: 'WHAT', cell: (one) => one.sentence ?? '' },
  ],
  name: (one) => one.field ?? '',
  json: (one) => toPlain(v1.SpecChange, one),
  details: (one) => [['Field', one.field ?? '']],
};

export function addVmPending(parent: Command, shell: Shell): void {
  parent
    .command('pending')
    .description('what is stored of a VM and not in effect yet')
    .argument(...NAME)
    .addHelpText('after', examples('ostler vm pending web1'))
    .action(
      shell.verb(async (context: Context, vm: string) => {
        const { pending } = await context
          .clients()
          .vms.getVm({ vm, pending: true }, { signal: context.io.interrupted });
        await printList(context, changeView, pending, 'Nothing is pending.');
        return 0;
      }),
    );
}
