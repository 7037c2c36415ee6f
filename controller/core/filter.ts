/**
 * The filter of list methods: terms joined by space, all must hold. `key=value` is equality, `key!=value` its opposite,
 * `key:text` "contains"; upper and lower case are the same. Values with spaces stand in double quotes. `label.KEY` reads a
 * label. A term without an operator is sought in the names.
 */
export interface FilterTerm {
  readonly key: string;
  readonly operator: '=' | '!=' | ':';
  readonly value: string;
}

export type ParsedFilter =
  | { readonly ok: true; readonly terms: readonly FilterTerm[] }
  /** `problem` is a sentence that names the term. */
  | { readonly ok: false; readonly problem: string };

export interface FilterKeys {
  readonly keys: readonly string[];
  /** Whether `label.KEY` is known. */
  readonly labels?: boolean;
}

const FILTER_LIMIT = 2048;
const TERM = /([A-Za-z_][A-Za-z0-9_.-]*?)(!=|=|:)(?:"([^"]*)"|([^\s"]*))|"([^"]*)"|([^\s"]+)/y;

export function parseFilter(text: string, known: FilterKeys): ParsedFilter {
  if (text.length > FILTER_LIMIT) return { ok: false, problem: `is longer than ${FILTER_LIMIT} characters` };
  const terms: FilterTerm[] = [];
  let at = skipSpace(text, 0);
  while (at < text.length) {
    TERM.lastIndex = at;
    const match = TERM.exec(text);
    const end = TERM.lastIndex;
    if (match === null || (end < text.length && !/\s/.test(text.charAt(end))))
      return { ok: false, problem: `cannot be read from \`${text.slice(at, at + 40)}\` on` };
    const term = termOf(match);
    const problem = problemOf(term, known);
    if (problem !== undefined) return { ok: false, problem };
    terms.push(term);
    at = skipSpace(text, end);
  }
  return { ok: true, terms };
}

function skipSpace(text: string, from: number): number {
  let at = from;
  while (at < text.length && /\s/.test(text.charAt(at))) at += 1;
  return at;
}

function termOf(match: RegExpExecArray): FilterTerm {
  const [, key, operator, quoted, plain, quotedWord, word] = match;
  if (key === undefined) return { key: 'name', operator: ':', value: quotedWord ?? word ?? '' };
  return { key, operator: operator as FilterTerm['operator'], value: quoted ?? plain ?? '' };
}

function problemOf(term: FilterTerm, known: FilterKeys): string | undefined {
  if (known.labels === true && term.key.startsWith('label.')) return undefined;
  if (known.keys.includes(term.key)) return undefined;
  const all = [...known.keys, ...(known.labels === true ? ['label.KEY'] : [])].join(', ');
  return `does not know \`${term.key.slice(0, 64)}\`; known: ${all}`;
}

/** `read` gives what a resource has under a key: one value, several (any may match), or nothing. */
export function matchesFilter(
  terms: readonly FilterTerm[],
  read: (key: string) => string | readonly string[] | undefined,
): boolean {
  return terms.every((term) => {
    const found = read(term.key);
    const values = found === undefined ? [] : typeof found === 'string' ? [found] : found;
    const wanted = term.value.toLowerCase();
    switch (term.operator) {
      case '=':
        return values.some((value) => value.toLowerCase() === wanted);
      case '!=':
        return values.every((value) => value.toLowerCase() !== wanted);
      case ':':
        return values.some((value) => value.toLowerCase().includes(wanted));
    }
  });
}
