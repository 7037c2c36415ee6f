import { createInterface } from 'node:readline/promises';
import type { Context } from './context.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { isTerminal } from './io.js';
import { usageError } from './errors.js';

/**
 * Asks before something is lost. --yes answers, --dry-run needs no answer; without a terminal nobody can answer, so it is
 * refused as a usage error. Throws CANCELLED when the answer is no.
 */
export async function confirmLoss(context: Context, question: string): Promise<void> {
  if (context.globals.yes || context.globals.dryRun) return;
  if (!canAsk(context)) {
    throw usageError(
      `${question} Nobody can answer: this is not a terminal.`,
      'Add --yes to say that you mean it.',
      '--yes',
    );
  }
  await ask(context, question);
}

/** Asks on a terminal, but lets scripts pass: for what interrupts a guest and loses nothing. */
export async function confirmInterruption(context: Context, question: string): Promise<void> {
  if (context.globals.yes || context.globals.dryRun || !canAsk(context)) return;
  await ask(context, question);
}

function canAsk(context: Context): boolean {
  return isTerminal(context.io.stdin) && isTerminal(context.io.stderr);
}

async function ask(context: Context, question: string): Promise<void> {
  const answer = await readLine(context, `${question} [y/N] `);
  if (/^(?:y|yes)$/i.test(answer.trim())) return;
  throw new OstlerError('CANCELLED', 'Not confirmed: nothing was done.');
}

/** One line from the terminal; rejects at Ctrl-C. */
export async function readLine(context: Context, prompt: string): Promise<string> {
  const { stdin, stderr, interrupted } = context.io;
  const lines = createInterface({ input: stdin, output: stderr, terminal: false });
  try {
    stderr.write(prompt);
    return await new Promise<string>((resolve, reject) => {
      lines.once('line', resolve);
      lines.once('close', () => resolve(''));
      interrupted.addEventListener('abort', () => reject(interrupted.reason as Error), { once: true });
    });
  } finally {
    lines.close();
  }
}
