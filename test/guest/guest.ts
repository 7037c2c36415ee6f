import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, rm, stat, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { unpackedDebs } from './debs.js';
import { makeInitrd } from './initrd.js';
import { copyKernel, makeDisk, makeIso } from './media.js';

/** Paths of the finished guest. The files are shared by all tests: copy or overlay them, never write to them. */
export interface Guest {
  /** A disk that boots by itself under SeaBIOS and UEFI. */
  readonly qcow2: string;
  /** The same guest as a bootable CD-ROM. */
  readonly iso: string;
  readonly kernel: string;
  readonly initrd: string;
}

/** The project's root: this file runs from dist/test/guest/. */
const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const FILES = join(ROOT, 'test/guest/files');

/**
 * The test guest, built at the first call (a few seconds and 31 MB of Debian packages) and kept in .cache/guest under a hash
 * of what it is made from.
 * @throws Error saying what is missing on the machine
 */
export async function guest(cache = join(ROOT, '.cache/guest')): Promise<Guest> {
  const directory = join(cache, await hash());
  const done = (): Promise<boolean> => stat(join(directory, 'guest.iso')).then(Boolean, () => false);
  if (!(await done())) {
    const scratch = `${directory}.${process.pid.toString()}`;
    try {
      await build(scratch, join(cache, 'debs'));
      // Two builders at a time: the first one wins, both results are the same.
      await rename(scratch, directory).catch(async (error: unknown) => {
        if (!(await done())) throw error;
      });
    } finally {
      await rm(scratch, { recursive: true, force: true });
    }
  }
  return {
    qcow2: join(directory, 'guest.qcow2'),
    iso: join(directory, 'guest.iso'),
    kernel: join(directory, 'vmlinuz'),
    initrd: join(directory, 'initrd.gz'),
  };
}

async function build(directory: string, debs: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await mkdir(directory, { recursive: true });
  const root = await unpackedDebs(debs);
  const parts = { root, files: FILES, directory };
  await copyKernel(root, join(directory, 'vmlinuz'));
  await writeFile(join(directory, 'initrd.gz'), await makeInitrd(root, FILES));
  await makeDisk(parts);
  await makeIso(parts);
  const keep = ['guest.qcow2', 'guest.iso', 'vmlinuz', 'initrd.gz'];
  for (const name of await readdir(directory)) {
    if (!keep.includes(name)) await rm(join(directory, name), { recursive: true });
  }
}

/** Covers our scripts and the builder itself; the Debian packages stay as first downloaded. */
async function hash(): Promise<string> {
  const digest = createHash('sha256');
  const builder = dirname(fileURLToPath(import.meta.url));
  for (const folder of [FILES, builder]) {
    for (const name of (await readdir(folder)).sort()) {
      if (folder === FILES || (name.endsWith('.js') && !name.includes('.test.'))) {
        digest.update(`${name}\0`).update(await readFile(join(folder, name)));
      }
    }
  }
  return digest.digest('hex').slice(0, 16);
}
