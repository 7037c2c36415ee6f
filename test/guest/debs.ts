import { createHash } from 'node:crypto';
import { mkdir, readdir, rename, rm, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './run.js';

/** The kernel package of the day hides behind this one. */
const KERNEL = 'linux-image-cloud-amd64';
const OTHERS = ['qemu-guest-agent', 'grub-pc-bin', 'grub-efi-amd64-bin', 'grub-common', 'mtools'];

/**
 * Downloads the Debian packages that the guest is made of and unpacks them (nothing is installed) beside `cache`;
 * does nothing when that was done before, with the same list of packages.
 * @returns the directory with the unpacked tree
 */
export async function unpackedDebs(cache: string): Promise<string> {
  const list = createHash('sha256').update(OTHERS.join()).digest('hex').slice(0, 8);
  const directory = `${cache}-${list}`;
  const root = join(directory, 'root');
  const done = (): Promise<boolean> => stat(root).then(Boolean, () => false);
  if (await done()) return root;
  const scratch = `${directory}.${process.pid.toString()}`;
  await rm(scratch, { recursive: true, force: true });
  await mkdir(scratch, { recursive: true });
  try {
    const packages = [await kernelPackage(), ...OTHERS];
    // As root apt would drop to _apt, which may not write here.
    await run(['apt-get', '-q', '-o', 'APT::Sandbox::User=root', 'download', '--', ...packages], { cwd: scratch });
    for (const deb of await readdir(scratch)) await run(['dpkg-deb', '-x', join(scratch, deb), join(scratch, 'root')]);
    await rename(scratch, directory).catch(async (error: unknown) => {
      // Somebody else was quicker: theirs is as good.
      if (!(await done())) throw error;
    });
  } finally {
    await rm(scratch, { recursive: true, force: true });
  }
  return root;
}

async function kernelPackage(): Promise<string> {
  const { stdout } = await run(['apt-cache', 'show', '--no-all-versions', KERNEL]).catch((cause: unknown) => {
    throw new Error(`apt knows no ${KERNEL}: run scripts/prepare (it refreshes apt's lists)`, { cause });
  });
  const name = /^Depends: (linux-image-[\w.+-]+)/m.exec(stdout)?.[1];
  if (name === undefined) throw new Error(`${KERNEL} does not say which kernel it stands for`);
  return name;
}
