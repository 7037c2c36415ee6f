import { createRequire } from 'node:module';
import { readdir, readFile } from 'node:fs/promises';
import { dirname, extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';

export interface StaticFile {
  readonly type: string;
  readonly body: Buffer;
}

/** Exact URL path → file. Nothing else is served: a request's path is never joined to a folder. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
};

/** The compiled code is in dist/controller/api/http; the build copies controller/web beside it. */
const WEB_FOLDER = fileURLToPath(new URL('../../web/', import.meta.url));

/** The UI's own files at `/`, noVNC's core and vendor folders below `/novnc/`. Read once: they are small. */
export async function loadStaticFiles(): Promise<StaticFiles> {
  const files = new Map<string, StaticFile>();
  await addFolder(files, WEB_FOLDER, '/');
  // The package's entry is core/rfb.js.
  const novnc = dirname(dirname(createRequire(import.meta.url).resolve('@novnc/novnc')));
  for (const part of ['core', 'vendor']) await addFolder(files, join(novnc, part), `/novnc/${part}/`);
  return files;
}

async function addFolder(files: Map<string, StaticFile>, folder: string, prefix: string): Promise<void> {
  for (const entry of await readdir(folder, { withFileTypes: true })) {
    const path = join(folder, entry.name);
    const type = TYPES[extname(entry.name)];
    if (entry.isDirectory()) await addFolder(files, path, `${prefix}${entry.name}/`);
    else if (entry.isFile() && type !== undefined)
      files.set(`${prefix}${entry.name}`, { type, body: await readFile(path) });
  }
}
