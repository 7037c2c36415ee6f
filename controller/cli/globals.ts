import { Option, type Command } from 'commander';
import { parseDuration } from './input/duration.js';

export const FORMATS = ['table', 'wide', 'json', 'yaml', 'csv', 'name'] as const;
export type Format = (typeof FORMATS)[number];

/** Flags that every verb takes. */
export interface Globals {
  readonly output: Format;
  /** False with --no-wait. */
  readonly wait: boolean;
  /** How long to wait for an operation, milliseconds; 0: without end. */
  readonly timeout: number;
  readonly dryRun: boolean;
  readonly yes: boolean;
  readonly quiet: boolean;
  /** False with --no-color. */
  readonly color: boolean;
  readonly requestId: string | undefined;
}

const DEFAULT_TIMEOUT_MS = 10 * 60_000;

export function addGlobalOptions(program: Command): Command {
  return program
    .addOption(new Option('-o, --output <format>', 'how to print').choices(FORMATS).default('table'))
    .option('--no-wait', 'do not wait for the operation; print its id')
    .addOption(
      new Option('--timeout <time>', 'wait at most this long; the operation goes on after it (0: no limit)')
        .argParser((text) => parseDuration(text, '--timeout'))
        .default(DEFAULT_TIMEOUT_MS, '10m'),
    )
    .option('--dry-run', 'change nothing; print what would be done, where, and why not elsewhere')
    .option('-y, --yes', 'answer every question with yes')
    .option('-q, --quiet', 'no progress and no closing sentence')
    .option('--no-color', 'no colors (also: the environment variable NO_COLOR)')
    .option('--request-id <id>', 'makes a repeated call harmless: the same id does the work once');
}

/** What commander read; flags that were not given are absent. */
export function readGlobals(program: Command): Globals {
  const { dryRun = false, yes = false, quiet = false, requestId, ...rest } = program.opts<Partial<Globals>>();
  const { output = 'table', wait = true, timeout = DEFAULT_TIMEOUT_MS, color = true } = rest;
  return { output, wait, timeout, color, dryRun, yes, quiet, requestId };
}
