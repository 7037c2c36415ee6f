import { readFile } from 'node:fs/promises';
import { parse as parseYaml } from 'yaml';
import type { z } from 'zod';
import { OstlerError } from './errors.js';

/**
 * Reads a YAML config file and checks it against a strict schema. Unknown keys, wrong types and contradictions are
 * refused with INVALID_FIELD naming the key. A missing file is an error unless `optional`.
 */
export async function loadConfig<S extends z.ZodType>(
  path: string,
  schema: S,
  options: { optional?: boolean } = {},
): Promise<z.output<S>> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if (options.optional === true && (error as NodeJS.ErrnoException).code === 'ENOENT')
      return parseConfig({}, schema, path);
    throw new OstlerError('INVALID_FIELD', `Cannot read the config file ${path}: ${(error as Error).message}`, {
      remedy: 'Name another file with --config, or write this one; an example is in systemd/.',
      cause: error,
    });
  }
  let raw: unknown;
  try {
    raw = parseYaml(text) ?? {};
  } catch (error) {
    throw new OstlerError('INVALID_FIELD', `${path} is not YAML: ${(error as Error).message}`, { cause: error });
  }
  return parseConfig(raw, schema, path);
}

export function parseConfig<S extends z.ZodType>(raw: unknown, schema: S, source: string): z.output<S> {
  const result = schema.safeParse(raw);
  if (result.success) return result.data;
  const issue = result.error.issues[0];
  const keys = issue?.code === 'unrecognized_keys' ? issue.keys : [];
  const field = [...(issue?.path ?? []), ...keys].map(String).join('.');
  throw new OstlerError(
    'INVALID_FIELD',
    `${source}: ${field === '' ? '' : `${field}: `}${issue?.message ?? 'invalid'}`,
    {
      field,
      remedy: 'Correct the key; the example config in systemd/ lists every key with its default.',
    },
  );
}
