import { ostler } from '../../proto/gen/ostler.js';
import { isConnectionLoss } from './client.js';
import { EXIT } from './codes.js';
import { useColor, type Context } from './context.js';
import { isTerminal } from './io.js';
import { formatDuration } from './output/time.js';
import { fitTo, harmless, toned } from './output/text.js';

type Operation = ostler.v1.Operation.$Properties;

export type WaitOutcome =
  | { readonly kind: 'done'; readonly operation: Operation }
  | { readonly kind: 'timeout' | 'interrupted'; readonly operation: Operation };

const { SUCCEEDED, FAILED, CANCELLED } = ostler.v1.OperationState;

export function isFinished(operation: Operation): boolean {
  return operation.state === SUCCEEDED || operation.state === FAILED || operation.state === CANCELLED;
}

/** Below the server's own limit, so that a proxy's idle limit is not met either. */
const POLL_MS = 20_000;
const RETRY_MS = 1000;

/**
 * Follows an operation to its end, showing its progress on stderr. A controller that goes away is waited for: the
 * operation is persisted and goes on when it is back.
 */
export async function waitFor(context: Context, first: Operation): Promise<WaitOutcome> {
  const { io, globals } = context;
  const started = io.clock.monotonic();
  const progress = createProgress(context);
  let operation = first;
  try {
    for (;;) {
      progress.show(operation);
      if (isFinished(operation)) return { kind: 'done', operation };
      if (io.interrupted.aborted) return { kind: 'interrupted', operation };
      const left = globals.timeout === 0 ? POLL_MS : globals.timeout - (io.clock.monotonic() - started);
      if (left <= 0) return { kind: 'timeout', operation };
      operation = (await nextState(context, operation, Math.min(left, POLL_MS), progress)) ?? operation;
    }
  } finally {
    progress.end();
  }
}

/** The operation's next state; undefined after Ctrl-C, or when the controller does not answer for the moment. */
async function nextState(
  context: Context,
  operation: Operation,
  timeoutMs: number,
  progress: Progress,
): Promise<Operation | undefined> {
  const { io } = context;
  try {
    return await context.clients().operations.waitOperation(
      {
        operation: operation.id ?? '',
        timeoutMs: Math.ceil(timeoutMs),
        afterPercent: operation.percent ?? 0,
        afterDetail: operation.detail ?? '',
        untilChange: true,
      },
      { timeoutMs: timeoutMs + 10_000, signal: io.interrupted },
    );
  } catch (error) {
    if (io.interrupted.aborted) return undefined;
    if (!isConnectionLoss(error)) throw error;
    progress.note('the controller does not answer; the operation goes on when it is back');
    await io.clock.sleep(Math.min(RETRY_MS, timeoutMs), io.interrupted).catch(() => undefined);
    return undefined;
  }
}

interface Progress {
  show(operation: Operation): void;
  note(sentence: string): void;
  end(): void;
}

const SILENT: Progress = { show: () => undefined, note: () => undefined, end: () => undefined };
const SPIN = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];
const SPIN_MS = 120;

/** On a terminal one line that is rewritten; elsewhere one line for each new step or detail, and a percentage now and then. */
function createProgress(context: Context): Progress {
  if (context.globals.quiet) return SILENT;
  return isTerminal(context.io.stderr) ? createLiveLine(context) : createLines(context);
}

function sentenceOf(operation: Operation): string {
  const running = (operation.steps ?? []).find((step) => step.state === ostler.v1.OperationState.OPERATION_RUNNING);
  const detail = operation.detail || running?.detail || running?.name || 'waiting';
  const undoing = operation.state === ostler.v1.OperationState.UNDOING ? 'undoing: ' : '';
  return harmless(`${operation.targetName || operation.target || operation.id}: ${undoing}${detail}`);
}

/** Milliseconds between two lines that differ in their percentage alone. */
const SAME_STEP_MS = 5000;

function createLines(context: Context): Progress {
  const { stderr, clock } = context.io;
  let last = { sentence: '', step: '', time: -Infinity };
  const print = (sentence: string): void => {
    const step = sentence.replace(/ *\d+ ?%/g, '');
    const time = clock.monotonic();
    if (sentence === last.sentence || (step === last.step && time - last.time < SAME_STEP_MS)) return;
    stderr.write(`${sentence}\n`);
    last = { sentence, step, time };
  };
  return {
    show: (operation) => {
      if (!isFinished(operation)) print(sentenceOf(operation));
    },
    note: (sentence) => print(sentence),
    end: () => undefined,
  };
}

function createLiveLine(context: Context): Progress {
  const { stderr, clock } = context.io;
  const started = clock.monotonic();
  let text = '';
  let turn = 0;
  const draw = (): void => {
    const elapsed = formatDuration(Math.floor((clock.monotonic() - started) / 1000) * 1000).replace(/^0ms$/, '0s');
    const line = fitTo(`${SPIN[turn % SPIN.length] ?? ''} ${text} (${elapsed})`, (stderr.columns ?? 80) - 1);
    stderr.write(`\r\u001b[K${toned(line, 'busy', useColor(context))}`);
    turn += 1;
  };
  const timer = setInterval(draw, SPIN_MS);
  timer.unref();
  return {
    show: (operation) => {
      text = `${sentenceOf(operation)}${operation.percent ? ` ${operation.percent}%` : ''}`;
      draw();
    },
    note: (sentence) => {
      text = sentence;
      draw();
    },
    end: () => {
      clearInterval(timer);
      stderr.write('\r\u001b[K');
    },
  };
}

/** Says that the work goes on without us, and how to follow or end it. */
export function sayGoesOn(context: Context, outcome: WaitOutcome): number {
  const id = outcome.operation.id ?? '';
  const why = outcome.kind === 'timeout' ? 'The wait timed out' : 'Interrupted';
  context.io.stderr.write(
    `${why}; operation ${id} (${outcome.operation.kind ?? ''}) goes on.\n` +
      `  watch it:  ostler op wait ${id}\n` +
      `  cancel it: ostler op cancel ${id}\n`,
  );
  return outcome.kind === 'timeout' ? EXIT.WAIT_TIMEOUT : EXIT.INTERRUPTED;
}
