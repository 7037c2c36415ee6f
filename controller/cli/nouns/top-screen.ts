import type { Context } from '../context.js';
import type { OutputStream } from '../io.js';
import { isAborted } from '../../../proto/kit/loop.js';
import { toOstlerError } from '../../../proto/kit/errors.js';
import { fitTo, harmless } from '../output/text.js';

const ENTER = '\u001b[?1049h\u001b[?25l';
const LEAVE = '\u001b[?25h\u001b[?1049l';
const CTRL_C = '\u0003';

/**
 * Draws on the terminal's second screen every `intervalMs` until q, Ctrl-C or Escape; the first screen and the terminal's
 * mode come back on every way out. A failed refresh keeps the last picture and says why below it.
 */
export async function runScreen(
  context: Context,
  intervalMs: number,
  load: () => Promise<readonly string[]>,
): Promise<number> {
  const { stdin, stdout, clock, interrupted } = context.io;
  const left = new AbortController();
  const onInput = (chunk: Buffer | string): void => {
    const key = chunk.toString();
    if (key === 'q' || key === 'Q' || key === CTRL_C || key === '\u001b') left.abort();
  };
  const onInterrupt = (): void => left.abort();
  interrupted.addEventListener('abort', onInterrupt, { once: true });
  let lines = await load();
  stdin.setRawMode?.(true);
  stdin.on('data', onInput);
  stdin.resume();
  stdout.write(ENTER);
  let problem = '';
  try {
    while (!left.signal.aborted) {
      draw(stdout, lines, footer(new Date(clock.now()), problem));
      await clock.sleep(intervalMs, left.signal).catch(() => undefined);
      if (isAborted(left.signal)) break;
      try {
        lines = await load();
        problem = '';
      } catch (error) {
        problem = harmless(toOstlerError(error).message);
      }
    }
  } finally {
    stdout.write(LEAVE);
    stdin.off('data', onInput);
    stdin.setRawMode?.(false);
    stdin.pause();
    stdin.unref?.();
    interrupted.removeEventListener('abort', onInterrupt);
  }
  return 0;
}

function footer(now: Date, problem: string): string {
  const time = now.toTimeString().slice(0, 8);
  return problem === '' ? `${time}  q leaves` : `${time}  ${problem}`;
}

/** Home, then each line with the rest of the old one erased: no flicker. What does not fit below is left out. */
function draw(stdout: OutputStream, lines: readonly string[], foot: string): void {
  const { columns = 80, rows = 24 } = stdout as OutputStream & { readonly rows?: number };
  const body = lines.filter((line) => line !== '').slice(0, Math.max(1, rows - 2));
  const text = [...body, '', fitTo(foot, columns)].map((line) => `${line}\u001b[K`).join('\r\n');
  stdout.write(`\u001b[H${text}\u001b[J`);
}
