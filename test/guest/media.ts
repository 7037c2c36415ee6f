import { copyFile, mkdir, open, readFile, readdir, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.js';

/**
 * quiet: the serial port is slow. no_timer_check: on a loaded machine the kernel else panics now and then ("IO-APIC + timer
 * doesn't work"). swiotlb=noforce: 64 MiB less to reserve, which lets 96 MiB guests boot. online_movable: memory can be unplugged.
 */
const CMDLINE =
  'console=tty0 console=ttyS0 quiet no_timer_check swiotlb=noforce memhp_default_state=online_movable panic=1';

const MIB = 1 << 20;
const SECTOR = 512;
/** Partition table of the disk, in MiB: the boot partitions are never written by the guest, so a power cut cannot harm them. */
const BOOT_START = 1;
const BOOT_SIZE = 29;
/** Where a UEFI firmware looks for its boot loader; the third partition, so that the data stay on the second one. */
const EFI_START = BOOT_START + BOOT_SIZE;
const EFI_SIZE = 2;
const DATA_START = EFI_START + EFI_SIZE;
const DATA_SIZE = 64;
const DISK_SIZE = DATA_START + DATA_SIZE;

/** Everything that a bootable medium is made of. */
export interface Parts {
  /** Tree of the unpacked packages: the boot loader. */
  readonly root: string;
  /** Folder of the boot loader's configurations. */
  readonly files: string;
  /** Folder with vmlinuz and initrd.gz, where the media are made as well. */
  readonly directory: string;
}

/** Copies the kernel out of the unpacked package. */
export async function copyKernel(root: string, to: string): Promise<void> {
  const name = (await readdir(join(root, 'boot'))).find((file) => file.startsWith('vmlinuz-'));
  if (name === undefined) throw new Error('the kernel package has no vmlinuz');
  await copyFile(join(root, 'boot', name), to);
}

/**
 * guest.qcow2: MBR with GRUB in the gap behind it, a boot partition, an ext4 data partition and a small one for UEFI; no
 * loop device, no mount.
 */
export async function makeDisk({ root, files, directory }: Parts): Promise<void> {
  const raw = join(directory, 'guest.raw');
  const tree = join(directory, 'boot');
  await mkdir(tree);
  for (const name of ['vmlinuz', 'initrd.gz']) await copyFile(join(directory, name), join(tree, name));
  await writeFile(raw, '');
  await truncate(raw, DISK_SIZE * MIB);
  const modules = ['biosdisk', 'part_msdos', 'ext2', 'linux'];
  const core = await makeGrub({ root, files, directory }, 'i386-pc', 'grub-disk.cfg', '(,msdos1)/', modules);
  if (core.length > BOOT_START * MIB - SECTOR) throw new Error('GRUB does not fit before the first partition');
  const ext = async (label: string, start: number, size: number, ...options: string[]): Promise<void> => {
    await run([
      ...(['mke2fs', '-q', '-F', '-t', 'ext4', '-L', label, '-E', `offset=${(start * MIB).toString()}`] as const),
      ...[...options, raw, `${(size * 1024).toString()}k`],
    ]);
  };
  // GRUB 2.06 cannot read file systems with a checksum seed; nothing here needs a journal.
  const plain = ['-b', '4096', '-O', '^metadata_csum,^metadata_csum_seed,^64bit,^has_journal', '-m', '0', '-d', tree];
  await ext('ostler-boot', BOOT_START, BOOT_SIZE, ...plain);
  await ext('ostler-data', DATA_START, DATA_SIZE);
  const esp = await makeEfiPartition({ root, files, directory });
  const file = await open(raw, 'r+');
  await file.write(await masterBootRecord(root), 0, SECTOR, 0);
  await file.write(core, 0, core.length, SECTOR);
  await file.write(esp, 0, esp.length, EFI_START * MIB);
  await file.close();
  await run(['qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, join(directory, 'guest.qcow2')]);
}

/** guest.iso: the same kernel and initrd, started by El Torito. */
export async function makeIso(parts: Parts): Promise<void> {
  const tree = join(parts.directory, 'iso');
  await mkdir(tree);
  for (const name of ['vmlinuz', 'initrd.gz']) await copyFile(join(parts.directory, name), join(tree, name));
  const core = await makeGrub(parts, 'i386-pc-eltorito', 'grub-iso.cfg', '(cd)/', ['biosdisk', 'iso9660', 'linux']);
  await writeFile(join(tree, 'grub.img'), core);
  await run([
    ...(['genisoimage', '-quiet', '-R', '-V', 'OSTLER_GUEST', '-o', join(parts.directory, 'guest.iso')] as const),
    ...['-b', 'grub.img', '-no-emul-boot', '-boot-load-size', '4', '-boot-info-table', tree],
  ]);
}

/** A FAT file system with nothing but GRUB, under the name that a firmware without boot entries starts. */
async function makeEfiPartition({ root, files, directory }: Parts): Promise<Buffer> {
  const modules = ['part_msdos', 'ext2', 'search', 'search_label', 'linux'];
  const grub = await makeGrub({ root, files, directory }, 'x86_64-efi', 'grub-efi.cfg', '/', modules);
  const loader = join(directory, 'bootx64.efi');
  const image = join(directory, 'efi.img');
  await writeFile(loader, grub);
  await writeFile(image, '');
  await truncate(image, EFI_SIZE * MIB);
  const mtools = join(root, 'usr/bin/mtools');
  await run([mtools, '-c', 'mformat', '-i', image, '-v', 'OSTLER-EFI', '::']);
  await run([mtools, '-c', 'mmd', '-i', image, '::/EFI', '::/EFI/BOOT']);
  await run([mtools, '-c', 'mcopy', '-i', image, loader, '::/EFI/BOOT/BOOTX64.EFI']);
  return readFile(image);
}

/** GRUB with its configuration built in, so that it shows no menu and reads nothing but kernel and initrd. */
async function makeGrub(
  { root, files, directory }: Parts,
  format: string,
  config: string,
  prefix: string,
  modules: readonly string[],
): Promise<Buffer> {
  const library = join(root, 'usr/lib/grub', format === 'x86_64-efi' ? format : 'i386-pc');
  const early = join(directory, config);
  const image = join(directory, `${config}.img`);
  await writeFile(early, (await readFile(join(files, config), 'utf8')).replace('CMDLINE', CMDLINE));
  await run([
    ...([join(root, 'usr/bin/grub-mkimage'), '-d', library, '-O', format, '-c', early] as const),
    ...['-p', prefix, '-o', image, ...modules],
  ]);
  return readFile(image);
}

/** GRUB's boot sector and a partition table: two Linux partitions, the first one active, and one for UEFI. */
async function masterBootRecord(root: string): Promise<Buffer> {
  const sector = Buffer.alloc(SECTOR);
  (await readFile(join(root, 'usr/lib/grub/i386-pc/boot.img'))).copy(sector, 0, 0, 440);
  const LINUX = 0x83;
  const EFI = 0xef;
  const partition = (index: number, type: number, start: number, size: number): void => {
    const at = 446 + 16 * index;
    sector[at] = index === 0 ? 0x80 : 0;
    Buffer.from('feffff', 'hex').copy(sector, at + 1); // cylinder, head and sector: beyond their range
    sector[at + 4] = type;
    Buffer.from('feffff', 'hex').copy(sector, at + 5);
    sector.writeUInt32LE((start * MIB) / SECTOR, at + 8);
    sector.writeUInt32LE((size * MIB) / SECTOR, at + 12);
  };
  partition(0, LINUX, BOOT_START, BOOT_SIZE);
  partition(1, LINUX, DATA_START, DATA_SIZE);
  partition(2, EFI, EFI_START, EFI_SIZE);
  sector.writeUInt16LE(0xaa55, 510);
  return sector;
}
