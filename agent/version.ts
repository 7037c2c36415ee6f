import { readFileSync } from 'node:fs';

/** Of the package; `dist/agent` lies two levels below it. */
export function readVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}
