import { readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Low, type Adapter } from 'lowdb';
import { OstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { DocumentKind, Documents } from '../core/model.js';
import { replaceFile } from './durable.js';
import { DOCUMENT_SCHEMAS } from './schemas.js';
import type { Stored } from './store.js';

/** One document a file, with its revision. `format` lets a later version know what it reads. */
export interface FileContent {
  readonly format: 1;
  readonly kind: DocumentKind;
  readonly id: string;
  readonly revision: number;
  readonly value: unknown;
}

/** lowdb's own file adapter renames but never flushes; this one is durable when `write` resolves. */
function durableAdapter(directory: string, name: string, fault: FaultPoint): Adapter<FileContent | null> {
  return {
    read: async () => {
      try {
        return JSON.parse(await readFile(join(directory, name), 'utf8')) as FileContent;
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code === 'ENOENT') return null;
        throw error;
      }
    },
    write: (content) => replaceFile(directory, name, `${JSON.stringify(content, undefined, 1)}\n`, fault),
  };
}

export function documentFileName(id: string): string {
  return `${id}.json`;
}

export async function writeDocument(directory: string, content: FileContent, fault: FaultPoint): Promise<void> {
  const file = new Low<FileContent | null>(durableAdapter(directory, documentFileName(content.id), fault), null);
  file.data = content;
  await file.write();
}

export async function removeDocument(directory: string, id: string): Promise<void> {
  await rm(join(directory, documentFileName(id)), { force: true });
}

/** Reads and checks one file. STORE_ERROR with its path and the place in it: nothing is ever dropped silently. */
export async function readDocument<K extends DocumentKind>(
  directory: string,
  kind: K,
  name: string,
): Promise<Stored<Documents[K]>> {
  const path = join(directory, name);
  const file = new Low<FileContent | null>(
    durableAdapter(directory, name, () => undefined),
    null,
  );
  try {
    await file.read();
  } catch (error) {
    throw badFile(path, (error as Error).message, error);
  }
  const content = file.data as Partial<FileContent> | null;
  if (typeof content !== 'object' || content === null) throw badFile(path, 'it is not an object');
  const { format, id, revision, value } = content;
  if (format !== 1) throw badFile(path, `its format is ${String(format)}, this version reads 1`);
  if (content.kind !== kind) throw badFile(path, `it holds a ${String(content.kind)}, not a ${kind}`);
  if (id === undefined || documentFileName(id) !== name) throw badFile(path, `it says that its id is ${String(id)}`);
  if (!Number.isSafeInteger(revision) || (revision ?? 0) < 1) throw badFile(path, 'its revision is no positive number');
  return { id, revision: revision ?? 0, value: parseDocument(kind, value, path) };
}

export function parseDocument<K extends DocumentKind>(kind: K, value: unknown, path: string): Documents[K] {
  const result = DOCUMENT_SCHEMAS[kind].safeParse(value);
  if (result.success) return result.data as Documents[K];
  const issue = result.error.issues[0];
  throw badFile(path, `value.${(issue?.path ?? []).map(String).join('.')}: ${issue?.message ?? 'does not parse'}`);
}

export function badFile(path: string, why: string, cause?: unknown): OstlerError {
  return new OstlerError('STORE_ERROR', `${path} cannot be read as a document of the store: ${why}.`, {
    remedy: 'Move the file away, or bring it back from a backup; nothing was changed.',
    metadata: { file: path },
    ...(cause === undefined ? {} : { cause }),
  });
}
