import type { Verb } from './context.js';

/** What the nouns need of the running command: a verb becomes a commander action whose exit code is kept. */
export interface Shell {
  readonly verb: <A extends unknown[]>(run: Verb<A>) => (...args: A) => Promise<void>;
}

/** Text after a verb's `--help`: what it looks like in use. */
export function examples(...lines: readonly string[]): string {
  return `\nExamples:\n${lines.map((line) => `  ${line}`).join('\n')}\n`;
}
