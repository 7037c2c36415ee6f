import { ostler } from '../../proto/gen/ostler.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { fromErrorDetail } from '../../proto/status.js';
import { fromWireTime } from '../../proto/time.js';
import { isConnectionLoss } from './client.js';
import { EXIT } from './codes.js';
import type { Context } from './context.js';
import { rejections } from './errors.js';
import { isTerminal, writeAll } from './io.js';
import { operationView } from './nouns/op-view.js';
import { formatJson, formatYaml, printOne } from './output/print.js';
import { formatDuration } from './output/time.js';
import { harmless } from './output/text.js';
import { isFinished, sayGoesOn, waitFor } from './wait.js';

type Operation = ostler.v1.Operation.$Properties;

/** What the request of every mutation carries. */
export interface MutationFields {
  readonly requestId: string;
  readonly validateOnly: boolean;
}

const ATTEMPTS = 3;

/**
 * The way of every verb that makes an operation: send it (again, with the same request id, when the connection is lost on
 * the way), then print its plan (--dry-run), its id (--no-wait), or wait for its end.
 */
export async function mutate(
  context: Context,
  done: string,
  send: (fields: MutationFields) => Promise<Operation>,
): Promise<number> {
  const operation = await sendMutation(context, send);
  if (context.globals.dryRun) {
    await printPlan(context, operation);
    return EXIT.OK;
  }
  if (!context.globals.wait) {
    await printStarted(context, operation);
    return EXIT.OK;
  }
  return follow(context, operation, done);
}

/** Calls with a request id, so that repeating it is harmless. */
export async function sendMutation<T>(context: Context, send: (fields: MutationFields) => Promise<T>): Promise<T> {
  const { io, globals } = context;
  const fields = { requestId: globals.requestId ?? io.requestId(), validateOnly: globals.dryRun };
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send(fields);
    } catch (error) {
      if (attempt === ATTEMPTS || !isConnectionLoss(error) || io.interrupted.aborted) throw error;
      await io.clock.sleep(300 * attempt, io.interrupted);
    }
  }
}

/** Waits, then prints the outcome; throws the operation's own error when it failed. */
export async function follow(context: Context, started: Operation, done: string): Promise<number> {
  const outcome = await waitFor(context, started);
  if (outcome.kind !== 'done') return sayGoesOn(context, outcome);
  const { operation } = outcome;
  if (operation.state !== ostler.v1.OperationState.SUCCEEDED) throw failureOf(operation);
  await printDone(context, operation, done);
  return EXIT.OK;
}

export function failureOf(operation: Operation): OstlerError {
  if (operation.error) return OstlerError.fromInfo(fromErrorDetail(operation.error));
  const cancelled = operation.state === ostler.v1.OperationState.CANCELLED;
  return new OstlerError(
    cancelled ? 'CANCELLED' : 'INTERNAL',
    cancelled
      ? `Operation ${operation.id ?? ''} was cancelled; what it had done is undone.`
      : `Operation ${operation.id ?? ''} failed without saying why.`,
  );
}

async function printDone(context: Context, operation: Operation, done: string): Promise<void> {
  const { io, globals } = context;
  if (globals.output === 'table' || globals.output === 'wide') {
    if (globals.quiet) return;
    const ms = (fromWireTime(operation.endTime) ?? 0) - (fromWireTime(operation.createTime) ?? 0);
    const name = harmless(operation.targetName || operation.target || '');
    const host = operation.placement?.host ? ` on ${harmless(operation.placement.host)}` : '';
    const time = ms > 0 ? ` (${formatDuration(ms)})` : '';
    await writeAll(io.stdout, `${name} ${done}${host}${time}\n`);
    // What is done, and not quite as asked.
    if (operation.detail) io.stderr.write(`${harmless(operation.detail)}\n`);
  } else if (globals.output === 'name') {
    await writeAll(io.stdout, `${harmless(operation.targetName || operation.target || '')}\n`);
  } else await printOne(context, operationView, operation);
}

/** --no-wait: the operation's id, with what to do with it. */
async function printStarted(context: Context, operation: Operation): Promise<void> {
  const { io, globals } = context;
  if (globals.output === 'table' || globals.output === 'wide') {
    await writeAll(io.stdout, `${operation.id ?? ''}\n`);
    if (!globals.quiet && isTerminal(io.stdout) && !isFinished(operation))
      io.stderr.write(`Watch it: ostler op wait ${operation.id ?? ''}\n`);
  } else await printOne(context, operationView, operation);
}

/** The plan's sentences, then where and why not elsewhere. */
async function printPlan(context: Context, operation: Operation): Promise<void> {
  const { output } = context.globals;
  if (output === 'json' || output === 'yaml') {
    const plain = operationView.json(operation);
    await writeAll(context.io.stdout, output === 'json' ? formatJson(plain) : formatYaml(plain));
    return;
  }
  const plan = (operation.plan ?? []).map((sentence, index) => `${index + 1}. ${harmless(sentence)}`);
  const lines = plan.length === 0 ? ['Nothing to do.'] : ['Would:', ...plan.map((line) => `  ${line}`)];
  const { placement } = operation;
  if (placement?.host) lines.push(`Host: ${harmless(placement.host)} (score ${(placement.score ?? 0).toFixed(2)})`);
  if (placement?.rejected && Object.keys(placement.rejected).length > 0)
    lines.push('Not on:', ...rejections(placement.rejected));
  await writeAll(context.io.stdout, `${lines.join('\n')}\n`);
}
