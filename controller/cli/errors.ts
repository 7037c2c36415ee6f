import { CommanderError } from 'commander';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import { EXIT, exitCodeOf } from './codes.js';
import { formatTable } from './output/table.js';
import { harmless } from './output/text.js';

/** A mistake in the command line itself. */
export function usageError(message: string, remedy: string, field?: string): OstlerError {
  return new OstlerError('INVALID_FIELD', message, { remedy, ...(field === undefined ? {} : { field }) });
}

/** Commander's refusals as errors of ours. */
export function fromCommander(error: CommanderError, helpCommand: string): OstlerError {
  const message = error.message
    .replace(/^error: /, '')
    .replaceAll('\n', ' ')
    .replace(/\.$/, '');
  return usageError(`${message.charAt(0).toUpperCase()}${message.slice(1)}.`, `See: ${helpCommand} --help`);
}

/** What happened and why; which field; what next. For NO_CAPACITY also host → reason. */
export function formatError(error: OstlerError): string {
  const lines = [`ostler: ${harmless(error.message)} [${error.code}]`];
  if (error.field !== undefined && error.field !== '' && !error.message.includes(error.field))
    lines.push(`  field: ${harmless(error.field)}`);
  const facts = Object.entries(error.metadata);
  if (error.code === 'NO_CAPACITY') lines.push(...rejections(error.metadata));
  else lines.push(...facts.map(([key, value]) => `  ${harmless(key)}: ${harmless(value)}`));
  if (error.remedy !== undefined && error.remedy !== '') lines.push(`  next: ${harmless(error.remedy)}`);
  return `${lines.join('\n')}\n`;
}

/** Why each host cannot take the VM. */
export function rejections(rejected: Readonly<Record<string, string>>): string[] {
  const rows = Object.entries(rejected).map(([host, reason]) => [{ text: harmless(host) }, { text: harmless(reason) }]);
  if (rows.length === 0) return [];
  const table = formatTable([{ header: 'HOST' }, { header: 'REASON' }], rows, { color: false });
  return table
    .trimEnd()
    .split('\n')
    .map((line) => `  ${line}`);
}

/** The same for programs, one line. */
export function formatErrorJson(error: OstlerError): string {
  const { code, message, remedy = '', field = '', metadata } = error.toInfo();
  return `${JSON.stringify({ error: { code, message, remedy, field, metadata, exitCode: exitCodeOf(code) } })}\n`;
}

export interface Failure {
  readonly exitCode: number;
  /** For stderr; empty when commander has printed a help text. */
  readonly text: string;
}

/** Whatever a verb threw → what to print and how to end. */
export function toFailure(
  thrown: unknown,
  options: {
    readonly json: boolean;
    readonly helpCommand: string;
    readonly explain: (error: OstlerError) => OstlerError;
  },
): Failure {
  if (thrown instanceof CommanderError) {
    if (thrown.exitCode === 0) return { exitCode: EXIT.OK, text: '' };
    // A noun without its verb: commander has printed the help already.
    if (thrown.code === 'commander.help') return { exitCode: EXIT.USAGE, text: '' };
  }
  const known = thrown instanceof CommanderError ? fromCommander(thrown, options.helpCommand) : toOstlerError(thrown);
  const error = options.explain(known);
  return { exitCode: exitCodeOf(error.code), text: options.json ? formatErrorJson(error) : formatError(error) };
}
