import { padTo, toned, widthOf, type Tone } from './text.js';

export interface Cell {
  readonly text: string;
  readonly tone?: Tone;
}
export interface TableColumn {
  readonly header: string;
  /** Numbers stand at the right. */
  readonly right?: boolean;
}

const GAP = '   ';

/** Aligned columns with a header, one line a row. Cells must be harmless already. The last column is not padded. */
export function formatTable(
  columns: readonly TableColumn[],
  rows: readonly (readonly Cell[])[],
  options: { readonly color: boolean },
): string {
  const widths = columns.map((column, index) =>
    Math.max(widthOf(column.header), ...rows.map((row) => widthOf(row[index]?.text ?? ''))),
  );
  const line = (cells: readonly Cell[]): string =>
    columns
      .map((column, index) => {
        const cell = cells[index] ?? { text: '' };
        const last = index === columns.length - 1 && column.right !== true;
        const padded = last ? cell.text : padTo(cell.text, widths[index] ?? 0, column.right === true);
        return toned(padded, cell.tone ?? 'plain', options.color);
      })
      .join(GAP)
      .replace(/ +$/, '');
  return [columns.map((column) => ({ text: column.header })), ...rows].map((row) => `${line(row)}\n`).join('');
}

/** `Label:  value` lines; a value of several lines is indented under its label's column. */
export function formatDetails(details: readonly (readonly [label: string, value: string])[]): string {
  const width = Math.max(0, ...details.map(([label]) => widthOf(label) + 1));
  return details
    .map(([label, value]) => {
      const [first = '', ...rest] = value.split('\n');
      const indent = ' '.repeat(width + 2);
      const lines = [`${padTo(`${label}:`, width)}  ${first}`, ...rest.map((line) => `${indent}${line}`)];
      return lines.map((line) => `${line.replace(/ +$/, '')}\n`).join('');
    })
    .join('');
}
