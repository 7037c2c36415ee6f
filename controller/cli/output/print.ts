import { stringify } from 'yaml';
import { useColor, type Context } from '../context.js';
import { isTerminal, writeAll } from '../io.js';
import { formatCsv, type CsvValue } from './csv.js';
import { formatDetails, formatTable } from './table.js';
import { harmless, type Tone } from './text.js';

/** One column of a list. */
export interface Column<T> {
  readonly header: string;
  /** For people. */
  readonly cell: (row: T, now: number) => string;
  /** For csv: bytes, RFC 3339 times; default: the cell. */
  readonly raw?: (row: T) => CsvValue;
  /** Shown by `-o wide` and csv only. */
  readonly wide?: boolean;
  readonly right?: boolean;
  readonly tone?: (row: T) => Tone;
}

/** How one kind of resource is printed in every format. */
export interface View<T> {
  readonly columns: readonly Column<T>[];
  /** The line of `-o name`. */
  readonly name: (row: T) => string;
  readonly json: (row: T) => Record<string, unknown>;
  /** `show`: label and value; values may have several lines. */
  readonly details: (row: T, now: number) => readonly (readonly [label: string, value: string])[];
}

/** JSON escapes C0 controls by itself; C1 controls and direction overrides would reach a terminal. */
function escapeRest(json: string): string {
  return json.replace(
    /[\u007f-\u009f\u2028-\u202e\u2066-\u2069]/g,
    (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
}

export function formatJson(value: unknown): string {
  return `${escapeRest(JSON.stringify(value, null, 2))}\n`;
}

/** One object on one line. */
export function formatJsonLine(value: unknown): string {
  return `${escapeRest(JSON.stringify(value))}\n`;
}

export function formatYaml(value: unknown): string {
  return stringify(value, { lineWidth: 0 });
}

export function tableOf<T>(view: View<T>, rows: readonly T[], context: Context, wide: boolean): string {
  const now = context.io.clock.now();
  const columns = view.columns.filter((column) => wide || column.wide !== true);
  const cells = rows.map((row) =>
    columns.map((column) => ({
      text: harmless(column.cell(row, now)) || '-',
      tone: column.tone?.(row) ?? ('plain' as const),
    })),
  );
  return formatTable(columns, cells, { color: useColor(context) });
}

export function csvOf<T>(view: View<T>, rows: readonly NoInfer<T>[], now: number): string {
  const header = view.columns.map((column) => column.header.toLowerCase().replaceAll(/[ /]/g, '_'));
  return formatCsv(
    header,
    rows.map((row) => view.columns.map((column) => column.raw?.(row) ?? column.cell(row, now))),
  );
}

/** A list; an empty table prints its heading only, and `none` on stderr. */
export async function printList<T>(
  context: Context,
  view: View<T>,
  rows: readonly NoInfer<T>[],
  none: string,
): Promise<void> {
  const { io, globals } = context;
  if (rows.length === 0 && (globals.output === 'table' || globals.output === 'wide') && !globals.quiet)
    io.stderr.write(`${none}\n`);
  await writeAll(io.stdout, forReader(context, listText(context, view, rows)));
}

/** csv and yaml carry texts as they are, for programs; on a terminal they are made harmless too. */
function forReader(context: Context, text: string): string {
  const { output } = context.globals;
  if ((output !== 'csv' && output !== 'yaml') || !isTerminal(context.io.stdout)) return text;
  return text.split(/\r?\n/).map(harmless).join('\n');
}

function listText<T>(context: Context, view: View<T>, rows: readonly T[]): string {
  switch (context.globals.output) {
    case 'json':
      return formatJson(rows.map(view.json));
    case 'yaml':
      return formatYaml(rows.map(view.json));
    case 'csv':
      return csvOf(view, rows, context.io.clock.now());
    case 'name':
      return rows.map((row) => `${harmless(view.name(row))}\n`).join('');
    case 'table':
    case 'wide':
      return rows.length === 0 ? '' : tableOf(view, rows, context, context.globals.output === 'wide');
  }
}

export async function printOne<T>(context: Context, view: View<T>, row: NoInfer<T>): Promise<void> {
  await writeAll(context.io.stdout, forReader(context, oneText(context, view, row)));
}

function oneText<T>(context: Context, view: View<T>, row: T): string {
  const now = context.io.clock.now();
  switch (context.globals.output) {
    case 'json':
      return formatJson(view.json(row));
    case 'yaml':
      return formatYaml(view.json(row));
    case 'csv':
      return csvOf(view, [row], now);
    case 'name':
      return `${harmless(view.name(row))}\n`;
    case 'table':
    case 'wide':
      return formatDetails(
        view.details(row, now).map(([label, value]) => [label, value.split('\n').map(harmless).join('\n') || '-']),
      );
  }
}
