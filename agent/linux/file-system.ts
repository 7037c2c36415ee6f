import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { link, open, readFile, rm, statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FileSystem } from '../host.js';
import { fileError } from './durable.js';

/** Names by the magic number that statfs(2) gives (linux/magic.h and the file systems' own headers). */
const TYPES: Readonly<Record<string, { readonly name: string; readonly network: boolean }>> = {
  ef53: { name: 'ext4', network: false },
  '58465342': { name: 'xfs', network: false },
  '9123683e': { name: 'btrfs', network: false },
  '2fc12fc1': { name: 'zfs', network: false },
  '1021994': { name: 'tmpfs', network: false },
  '794c7630': { name: 'overlayfs', network: false },
  '6969': { name: 'nfs', network: true },
  ff534d42: { name: 'cifs', network: true },
  fe534d42: { name: 'smb2', network: true },
  c36400: { name: 'ceph', network: true },
  '65735546': { name: 'fuse', network: false },
  '1161970': { name: 'gfs2', network: true },
  '7461636f': { name: 'ocfs2', network: true },
  bd00bd0: { name: 'lustre', network: true },
};

const MARK = '.ostler-pool-id';
const UUID = /^[0-9a-f-]{36}$/;

/** Room, kind and identity of the file system under a pool's directory. */
export async function statFileSystem(path: string): Promise<FileSystem> {
  try {
    const { type, bsize, blocks, bavail } = await statfs(path);
    const known = TYPES[(type >>> 0).toString(16)] ?? { name: `0x${(type >>> 0).toString(16)}`, network: false };
    return {
      type: known.name,
      network: known.network,
      capacityBytes: bsize * blocks,
      availableBytes: bsize * bavail,
      identity: await identityOf(path),
      directIo: await hasDirectIo(path),
    };
  } catch (error) {
    throw fileError(error, `look at the file system of ${path}`);
  }
}

/**
 * Device numbers and mount sources differ between hosts that see the same files, and are equal on hosts that do not. A
 * mark in the directory itself is right for every kind of storage. link(2) makes the first host's mark the only one.
 */
async function identityOf(directory: string): Promise<string> {
  const mark = join(directory, MARK);
  const read = async (): Promise<string | undefined> => {
    const text = await readFile(mark, 'utf8').catch(() => '');
    return UUID.test(text.trim()) ? text.trim() : undefined;
  };
  const present = await read();
  if (present !== undefined) return present;
  const own = join(directory, `${MARK}.${randomUUID()}`);
  try {
    await writeFile(own, `${randomUUID()}\n`, { mode: 0o644 });
    await link(own, mark).catch(() => undefined);
  } finally {
    await rm(own, { force: true });
  }
  return (await read()) ?? '';
}

/** Measured: mount options and FUSE servers decide it, not the type alone. */
async function hasDirectIo(directory: string): Promise<boolean> {
  const path = join(directory, MARK);
  try {
    const file = await open(path, constants.O_RDONLY | constants.O_DIRECT);
    await file.close();
    return true;
  } catch {
    return false;
  }
}
