import { access, mkdir, open, readdir, readFile, rename, rm, stat, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';
import { OstlerError } from '../../proto/kit/errors.js';
import type { HostFiles } from '../host.js';
import { fileError, syncDirectory, writeFileAtomic } from './durable.js';
import { statFileSystem } from './file-system.js';
import { openPartialFile } from './partial-file.js';

function isAbsent(error: unknown): boolean {
  const { code } = error as NodeJS.ErrnoException;
  return code === 'ENOENT' || code === 'ENOTDIR';
}

export const linuxFiles: HostFiles = {
  exists: (path) =>
    access(path).then(
      () => true,
      () => false,
    ),
  async read(path) {
    try {
      return await readFile(path);
    } catch (error) {
      throw fileError(error, `read ${path}`);
    }
  },
  async readEnd(path, bytes) {
    try {
      const file = await open(path, 'r');
      try {
        const { size } = await file.stat();
        const tail = Buffer.alloc(Math.min(bytes, size));
        const { bytesRead } = await file.read(tail, 0, tail.length, size - tail.length);
        return { tail: tail.subarray(0, bytesRead), size };
      } finally {
        await file.close();
      }
    } catch (error) {
      throw fileError(error, `read ${path}`);
    }
  },
  writeAtomic: writeFileAtomic,
  openPartial: openPartialFile,
  async rename(from, to) {
    if (await linuxFiles.exists(to)) throw new OstlerError('ALREADY_EXISTS', `${to} is there already.`);
    try {
      await rename(from, to);
      await syncDirectory(dirname(to));
    } catch (error) {
      throw fileError(error, `rename ${from} to ${to}`);
    }
  },
  async remove(path) {
    try {
      await unlink(path);
      await syncDirectory(dirname(path));
    } catch (error) {
      if (!isAbsent(error)) throw fileError(error, `remove ${path}`);
    }
  },
  async removeTree(path) {
    try {
      await rm(path, { recursive: true, force: true });
      await syncDirectory(dirname(path));
    } catch (error) {
      if (!isAbsent(error)) throw fileError(error, `remove ${path}`);
    }
  },
  async makeDirectory(path, mode) {
    try {
      await mkdir(path, { recursive: true, mode });
    } catch (error) {
      throw fileError(error, `make the directory ${path}`);
    }
  },
  async list(directory) {
    try {
      return await readdir(directory);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw fileError(error, `list ${directory}`);
    }
  },
  async size(path) {
    try {
      return (await stat(path)).size;
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw fileError(error, `look at ${path}`);
    }
  },
  statFs: statFileSystem,
};
