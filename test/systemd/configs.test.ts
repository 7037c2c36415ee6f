import { readFile } from 'node:fs/promises';
import t from 'tap';
import { parse } from 'yaml';
import type { z } from 'zod';
import { agentConfigSchema } from '../../agent/config.js';
import { controllerConfigSchema } from '../../controller/config.js';
import { parseConfig } from '../../proto/kit/config.js';

/** Keys without a default: shown as a comment, since any value would be a choice. */
const EXAMPLES = {
  controller: { schema: controllerConfigSchema, optional: ['http.publicUrl', 'runDir'] },
  agent: { schema: agentConfigSchema, optional: ['libvirt.socket', 'defaultPool'] },
} as const satisfies Record<string, { schema: z.ZodType; optional: readonly string[] }>;

async function read(name: string): Promise<string> {
  return readFile(new URL(`../../../systemd/${name}.yaml`, import.meta.url), 'utf8');
}

function paths(value: unknown, prefix = ''): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [prefix];
  const entries = Object.entries(value);
  return entries.flatMap(([key, inner]) => paths(inner, prefix === '' ? key : `${prefix}.${key}`));
}

for (const [name, { schema, optional }] of Object.entries(EXAMPLES)) {
  void t.test(`${name}.yaml says every key with its real default`, async (t) => {
    const text = await read(name);
    const raw = parse(text) as unknown;
    const parsed = parseConfig(raw, schema, `${name}.yaml`);
    t.same(raw, parsed, 'nothing is left to a default that the file does not show');
    t.same(parsed, parseConfig({}, schema, 'empty'), 'and what it shows is the default');
    for (const key of optional) {
      const last = key.split('.').at(-1) ?? key;
      t.match(text, new RegExp(`^ *# ${last}: `, 'm'), `${key} is shown as a comment`);
    }
  });

  void t.test(`${name}.yaml explains every key`, async (t) => {
    const text = await read(name);
    for (const path of paths(parse(text))) {
      const top = path.split('.')[0] ?? path;
      t.match(
        text,
        new RegExp(`(^|\\n)#[^\\n]*\\n(${top}):|\\n${top}:\\n +(#|[a-z])`),
        `${path} has a comment or a section`,
      );
    }
  });
}
