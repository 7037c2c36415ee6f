import type { z } from 'zod';
import { invalidField } from '../kit/errors.js';

/** `['disks', 1, 'sizeBytes']` below `spec` → `spec.disks[1].size_bytes`: the API's spelling of a field. */
export function fieldPath(root: string, path: readonly PropertyKey[]): string {
  let text = root;
  for (const part of path) {
    if (typeof part === 'number') text += `[${part}]`;
    else text += `${text === '' ? '' : '.'}${String(part).replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`)}`;
  }
  return text;
}

/** Runs a model schema at an edge. Throws INVALID_FIELD naming the first field at fault, below `root`. */
export function parseModel<S extends z.ZodType>(schema: S, value: unknown, root: string): z.output<S> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const keys = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  throw invalidField(fieldPath(root, [...(issue?.path ?? []), ...keys]), issue?.message ?? 'is invalid');
}
