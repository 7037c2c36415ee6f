import { join } from 'node:path';
import { idSchema } from '../../proto/model/names.js';

/** Names of an image's files; the id is checked, so that nothing else can become a path. */
export interface ImagePaths {
  /** While it is uploaded. */
  readonly part: string;
  /** Complete and checked. */
  readonly data: string;
  /** The record once more, for a store that was lost. */
  readonly record: string;
}

export function imagePaths(folder: string, imageId: string): ImagePaths {
  const base = join(folder, idSchema.parse(imageId));
  return { part: `${base}.part`, data: `${base}.img`, record: `${base}.json` };
}
