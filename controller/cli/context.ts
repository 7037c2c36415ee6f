import { OstlerError } from '../../proto/kit/errors.js';
import type { Clients } from './client.js';
import type { Globals } from './globals.js';
import { isTerminal, type Io } from './io.js';

/** What every verb gets. */
export interface Context {
  readonly io: Io;
  readonly globals: Globals;
  /** Connects at the first call, so that verbs without a server need none. */
  readonly clients: () => Clients;
}

export type Verb<A extends unknown[]> = (context: Context, ...args: A) => Promise<number>;

export function useColor(context: Context): boolean {
  const { io, globals } = context;
  return globals.color && isTerminal(io.stdout) && !io.env['NO_COLOR'] && io.env['TERM'] !== 'dumb';
}

/** A sentence for the person, on stderr; --quiet drops it. */
export function say(context: Context, sentence: string): void {
  if (!context.globals.quiet) context.io.stderr.write(`${sentence}\n`);
}

/** Verbs that the controller cannot plan refuse --dry-run instead of doing the work. */
export function refuseDryRun(context: Context, verb: string): void {
  if (!context.globals.dryRun) return;
  throw new OstlerError('INVALID_FIELD', `--dry-run: ${verb} cannot be planned ahead`, {
    field: '--dry-run',
    remedy: 'Leave --dry-run out; nothing was done.',
  });
}
