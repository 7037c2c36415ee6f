import stringWidth from 'string-width';

/**
 * Characters that a terminal obeys instead of showing: C0 and C1 controls, line and paragraph separators, and the
 * direction overrides that make a text look like another one.
 */
const UNSAFE = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff]/g;

/** Text from the server, made harmless for one line of a terminal: `\x1b` instead of the escape itself. */
export function harmless(text: string): string {
  return text.replace(UNSAFE, (character) => {
    const code = character.charCodeAt(0);
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, '0')}` : `\\u${code.toString(16)}`;
  });
}

/** Columns that a text takes on a terminal: 2 for Hangul, Han and emoji. */
export function widthOf(text: string): number {
  return stringWidth(text);
}

export function padTo(text: string, width: number, right = false): string {
  const space = ' '.repeat(Math.max(0, width - widthOf(text)));
  return right ? space + text : text + space;
}

const graphemes = new Intl.Segmenter(undefined, { granularity: 'grapheme' });

/** The text cut to at most `width` columns, never through a character; `…` marks the cut. */
export function fitTo(text: string, width: number): string {
  if (widthOf(text) <= width) return text;
  let fitted = '';
  let used = 0;
  for (const { segment } of graphemes.segment(text)) {
    const next = widthOf(segment);
    if (used + next > width - 1) break;
    fitted += segment;
    used += next;
  }
  return width > 0 ? `${fitted}…` : '';
}

export type Tone = 'good' | 'bad' | 'busy' | 'faint' | 'plain';

const SGR: Readonly<Record<Exclude<Tone, 'plain'>, string>> = { good: '32', bad: '31', busy: '33', faint: '2' };

export function toned(text: string, tone: Tone, color: boolean): string {
  return color && tone !== 'plain' ? `\u001b[${SGR[tone]}m${text}\u001b[0m` : text;
}
