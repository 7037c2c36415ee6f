import { rename, rm } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { OstlerError } from '../../proto/kit/errors.js';
import type { ImageInfo, QemuImg } from '../host.js';
import { fileError, syncDirectory, syncFile } from './durable.js';
import { readQcow2Header } from './qcow2-header.js';
import { run, type RunOptions, type RunResult } from './run.js';

const SHORT_MS = 60_000;
/** A full copy of a large disk on slow storage; cancelled by its signal long before. */
const LONG_MS = 24 * 3600_000;

/** What `qemu-img info --output=json` says, as far as we read it. */
const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number(),
  'actual-size': z.number().optional(),
  'backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
  'format-specific': z.object({ data: z.object({ 'data-file': z.string().optional() }).loose().optional() }).optional(),
});

const measureSchema = z.object({ required: z.number() });

function fileMissing(path: string, error: unknown): OstlerError {
  return new OstlerError('BAD_IMAGE', `${path} cannot be read: ${(error as Error).message}`, { metadata: { path } });
}

export function createQemuImg(program = 'qemu-img'): QemuImg {
  // Work on a whole image must not outlive the agent: the next one does it again, and would meet the lock of the orphan.
  const work = (args: readonly string[], options: Omit<RunOptions, 'timeoutMs'>): Promise<RunResult> =>
    run('setpriv', ['--pdeathsig', 'KILL', '--', program, ...args], { timeoutMs: LONG_MS, ...options });
  return {
    async glance(path) {
      const told = await readQcow2Header(safe(path)).catch((error: unknown) => {
        throw fileMissing(path, error);
      });
      return told ?? (await this.info(path));
    },
    async info(path) {
      const { code, stdout, stderr } = await run(program, ['info', '--output=json', '-U', '--', safe(path)], {
        timeoutMs: SHORT_MS,
      });
      const parsed = code === 0 ? infoSchema.safeParse(JSON.parse(stdout)) : undefined;
      if (parsed?.success !== true)
        throw new OstlerError('BAD_IMAGE', `qemu-img cannot read ${path}: ${lastLine(stderr)}`, { metadata: { path } });
      return toInfo(parsed.data);
    },
    async create({ path, format, sizeBytes, backing }) {
      const base = backing === undefined ? [] : ['-b', safe(backing.path), '-F', backing.format];
      await appear(path, async (temporary) => {
        // -u would skip opening the base; opening it is the check that it is there and of that format.
        const args = ['create', '-q', '-f', format, ...base, '--', temporary, String(sizeBytes)];
        refuseFailure(await run(program, args, { timeoutMs: SHORT_MS }), `make the disk ${path}`);
      });
    },
    async convert({ from, fromFormat, to, toFormat }, progress, signal) {
      await appear(to, async (temporary) => {
        // The source is an image nobody writes to; -U because running overlays hold a shared lock on it.
        const args = ['convert', '-p', '-U', '-f', fromFormat, '-O', toFormat, '--', safe(from), temporary];
        const onOutput = percentOf(progress);
        refuseFailure(await work(args, { signal, onOutput }), `copy ${from} to ${to}`);
      });
    },
    async measure(path) {
      const args = ['measure', '--output=json', '-U', '-f', 'qcow2', '-O', 'qcow2', '--', safe(path)];
      const result = await run(program, args, { timeoutMs: LONG_MS });
      refuseFailure(result, `measure ${path}`);
      return measureSchema.parse(JSON.parse(result.stdout)).required;
    },
    async resize(path, format, sizeBytes) {
      const args = ['resize', '-q', '-f', format, '--', safe(path), String(sizeBytes)];
      refuseFailure(await run(program, args, { timeoutMs: SHORT_MS }), `resize ${path}`);
      await syncFile(path);
    },
    async commit({ top, base }, progress, signal) {
      // -d: the top keeps its content, so that a crash at any point loses nothing.
      const args = ['commit', '-p', '-d', '-f', 'qcow2', '-b', safe(base), '--', safe(top)];
      const onOutput = percentOf(progress);
      refuseFailure(await work(args, { signal, onOutput }), `merge ${top} into ${base}`);
      await syncFile(base);
    },
    async rebase(path, backing, progress, signal) {
      const onto = backing === undefined ? ['-b', ''] : ['-b', safe(backing.path), '-F', backing.format];
      const args = ['rebase', '-p', '-f', 'qcow2', ...onto, '--', safe(path)];
      const onOutput = percentOf(progress);
      refuseFailure(await work(args, { signal, onOutput }), `rebase ${path}`);
      await syncFile(path);
    },
    async rename(path, backing) {
      const args = ['rebase', '-u', '-f', 'qcow2', '-b', safe(backing.path), '-F', backing.format, '--', safe(path)];
      refuseFailure(await run(program, args, { timeoutMs: SHORT_MS }), `rebase ${path}`);
      await syncFile(path);
    },
    async check(path) {
      const result = await run(program, ['check', '-q', '-U', '--', safe(path)], { timeoutMs: LONG_MS });
      // 3: leaked clusters waste room, nothing more.
      if (result.code !== 3) refuseFailure(result, `check ${path}`);
    },
  };
}

/** Reads `    (12.34/100%)\r`. */
function percentOf(progress: (percent: number) => void): (text: string) => void {
  return (text) => {
    const last = [...text.matchAll(/\(([0-9]+)\.[0-9]+\/100%\)/g)].at(-1)?.[1];
    if (last !== undefined) progress(Number(last));
  };
}

/** qemu-img takes `json:…` and `driver:…` for more than a path; an absolute path is neither. */
function safe(path: string): string {
  if (!path.startsWith('/') || path.includes('\0'))
    throw new OstlerError('INTERNAL', `${path} is not an absolute path`);
  return path;
}

/** Makes the file under another name first: under its own it is whole, or not there. */
async function appear(path: string, make: (temporary: string) => Promise<void>): Promise<void> {
  const temporary = safe(`${path}.tmp`);
  try {
    await make(temporary);
    await syncFile(temporary);
    await rename(temporary, path);
    await syncDirectory(dirname(path));
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    if (error instanceof Error && error.name === 'AbortError') throw error;
    throw fileError(error, `make ${path}`);
  }
}

function refuseFailure({ code, stderr }: RunResult, what: string): void {
  if (code === 0) return;
  if (/No space left|Disk quota exceeded/.test(stderr))
    throw new OstlerError('STORAGE_FULL', `No room to ${what}.`, {
      remedy: 'Free space on this pool, or use another.',
    });
  throw new OstlerError('STORAGE_ERROR', `Could not ${what}: ${lastLine(stderr)}`);
}

function lastLine(text: string): string {
  return text.trim().split('\n').at(-1) ?? 'no message';
}

function toInfo(raw: z.infer<typeof infoSchema>): ImageInfo {
  return {
    format: raw.format,
    virtualSizeBytes: raw['virtual-size'],
    actualSizeBytes: raw['actual-size'] ?? 0,
    backingFile: raw['backing-filename'],
    backingFormat: raw['backing-filename-format'],
    dataFile: raw['format-specific']?.data?.['data-file'],
  };
}
