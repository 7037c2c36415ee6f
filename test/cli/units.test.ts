import fc from 'fast-check';
import t from 'tap';
import { OstlerError } from '../../proto/kit/errors.js';
import { parseDuration, parseSeconds } from '../../controller/cli/input/duration.js';
import { parseKeyValues, parseLabel } from '../../controller/cli/input/key-values.js';
import { parseSize } from '../../controller/cli/input/size.js';
import { formatCsv } from '../../controller/cli/output/csv.js';
import { formatTable } from '../../controller/cli/output/table.js';
import { fitTo, harmless, padTo, widthOf } from '../../controller/cli/output/text.js';
import { formatDuration, formatRelative } from '../../controller/cli/output/time.js';
import { formatBytes } from '../../controller/cli/output/units.js';

function refusal(action: () => unknown): OstlerError {
  try {
    action();
  } catch (error) {
    if (error instanceof OstlerError) return error;
    throw error;
  }
  throw new Error('it was accepted');
}

void t.test('sizes', (t) => {
  const good: Readonly<Record<string, number>> = {
    '0B': 0,
    '512B': 512,
    '1KiB': 1024,
    '2GiB': 2 ** 31,
    '1.5GiB': 1.5 * 2 ** 30,
    '2 TiB': 2 ** 41,
    '500MB': 5e8,
    '1kB': 1000,
    '1KB': 1000,
    '0.5KiB': 512,
  };
  for (const [text, bytes] of Object.entries(good)) t.equal(parseSize(text, '--memory'), bytes, text);
  const bad: Readonly<Record<string, RegExp>> = {
    '': /is not a size/,
    '2': /"2" has no unit/,
    '2G': /"G" is not a unit/,
    '2gib': /"gib" is not a unit/,
    '2Gb': /"Gb" is not a unit/,
    '-1GiB': /is not a size/,
    '1e3GiB': /is not a (size|unit)/,
    '1.5B': /not a whole number of bytes/,
    '0.3KiB': /not a whole number of bytes/,
    '1,5GiB': /is not a size/,
    ' 2GiB': /is not a size/,
    '2  GiB': /is not a size/,
    '99999PiB': /more than anybody has/,
    '٢GiB': /is not a size/,
  };
  for (const [text, why] of Object.entries(bad)) {
    const error = refusal(() => parseSize(text, '--memory'));
    t.match(error.message, why, text);
    t.equal(error.field, '--memory');
  }
  t.match(refusal(() => parseSize('2G', '--memory')).remedy, '2GiB');
  t.match(refusal(() => parseSize('16', '--memory')).remedy, '16GiB');
  t.end();
});

void t.test('sizes: properties', (t) => {
  const units = { B: 1, KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3, TiB: 1024 ** 4, kB: 1e3, MB: 1e6, GB: 1e9 } as const;
  const unit = fc.constantFrom(...(Object.keys(units) as (keyof typeof units)[]));
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 8000 }), unit, (count, name) => {
      return parseSize(`${count}${name}`, 'x') === count * units[name];
    }),
  );
  fc.assert(
    fc.property(fc.string(), (text) => {
      try {
        const bytes = parseSize(text, '--x');
        return Number.isSafeInteger(bytes) && bytes >= 0;
      } catch (error) {
        return error instanceof OstlerError && error.code === 'INVALID_FIELD' && error.field === '--x';
      }
    }),
  );
  // What is printed can be typed back, to within the one decimal that is printed.
  fc.assert(
    fc.property(fc.integer({ min: 0, max: 2 ** 50 }), (bytes) => {
      const text = formatBytes(bytes);
      if (!/^(?:[0-9]{1,4}|[0-9]{1,4}\.[0-9]) [KMGTP]?i?B$/.test(text)) return false;
      const [number = '', name = ''] = text.split(' ');
      const scale = parseSize(`1${name}`, 'x');
      return Number(number) < 1024 && Math.abs(Number(number) * scale - bytes) <= scale * 0.0501;
    }),
    { numRuns: 2000 },
  );
  t.equal(formatBytes(1023.99 * 1024), '1 MiB', 'never 1024 KiB');
  t.end();
});

void t.test('lengths of time', (t) => {
  t.equal(parseDuration('90s', 'x'), 90_000);
  t.equal(parseDuration('1h30m', 'x'), 5_400_000);
  t.equal(parseDuration('250ms', 'x'), 250);
  t.equal(parseDuration('0', 'x'), 0);
  t.equal(parseSeconds('2d', 'x'), 172_800);
  for (const text of ['', '90', 's', '1.5h', '-1s', '1 h', '5M'])
    t.match(refusal(() => parseDuration(text, '--ttl')).field, '--ttl', text);
  t.match(refusal(() => parseDuration('90', '--ttl')).remedy, '90s');
  t.match(refusal(() => parseSeconds('1500ms', '--ttl')).message, /whole number of seconds/);
  const shown: readonly (readonly [number, string])[] = [
    [0, '0ms'],
    [850, '850ms'],
    [4249, '4.2s'],
    [9999, '9.9s'],
    [59_999, '59s'],
    [60_000, '1m'],
    [190_000, '3m10s'],
    [3_600_000, '1h'],
    [7_500_000, '2h5m'],
    [9 * 86_400_000 + 4 * 3_600_000 + 5, '9d4h'],
  ];
  for (const [ms, text] of shown) t.equal(formatDuration(ms), text);
  t.equal(formatRelative(1_000_000, 1_000_000 + 190_000), '3m ago');
  t.equal(formatRelative(1_000_000, 1_000_000 - 7_300_000), 'in 2h');
  t.equal(formatRelative(5, 900), 'now');
  t.end();
});

void t.test('keys and labels', (t) => {
  t.same(parseKeyValues('name=a,size=1GiB', '--disk', ['name', 'size']), { name: 'a', size: '1GiB' });
  t.same(parseKeyValues('x.sh,order=3', '--script', ['file', 'order'], 'file'), { file: 'x.sh', order: '3' });
  t.match(refusal(() => parseKeyValues('nme=a', '--disk', ['name'])).message, /"nme" is not a key/);
  t.match(refusal(() => parseKeyValues('a', '--disk', ['name'])).message, /not KEY=VALUE/);
  t.match(refusal(() => parseKeyValues('name=a,name=b', '--disk', ['name'])).message, /twice/);
  t.same(parseLabel('a=b=c', '--label'), ['a', 'b=c']);
  t.same(parseLabel('a=', '--label'), ['a', '']);
  t.match(refusal(() => parseLabel('=x', '--label')).field, '--label');
  t.end();
});

void t.test('tables align whatever the script', (t) => {
  const word = fc.oneof(
    fc.string({ maxLength: 12 }),
    fc.constantFrom('웹서버', '데이터베이스 1호', '日本語', '🚀', '👩‍💻 dev', 'é', 'ｱｲｳ', '👍🏽', 'ﷺ'),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(word, word), { minLength: 1, maxLength: 8 }), (rows) => {
      const cells = rows.map((row) => [...row.map((text) => ({ text: harmless(text) || '-' })), { text: '|' }]);
      const table = formatTable([{ header: 'A' }, { header: 'B', right: true }, { header: '|' }], cells, {
        color: false,
      });
      const lines = table.split('\n').slice(0, -1);
      const ends = lines.map((line) => widthOf(line.slice(0, line.lastIndexOf('|'))));
      return lines.length === rows.length + 1 && new Set(ends).size === 1;
    }),
  );
  t.equal(widthOf('웹서버'), 6);
  t.equal(padTo('웹', 4), '웹  ');
  t.equal(fitTo('웹서버', 4), '웹…');
  t.equal(fitTo('abc', 3), 'abc');
  fc.assert(fc.property(word, fc.integer({ min: 1, max: 9 }), (text, width) => widthOf(fitTo(text, width)) <= width));
  t.end();
});

void t.test('harmless text has no character that a terminal obeys', (t) => {
  fc.assert(
    fc.property(
      fc.string({ unit: 'binary' }),
      (text) => !/[\p{Cc}\u2028\u2029\u202a-\u202e\u2066-\u2069]/u.test(harmless(text)),
    ),
  );
  fc.assert(fc.property(fc.stringMatching(/^[a-z가-힣 .-]*$/), (text) => harmless(text) === text));
  t.end();
});

void t.test('csv survives a reader of RFC 4180', (t) => {
  const field = fc.string({ unit: fc.constantFrom('a', ',', '"', '\n', '\r', '가', ' ') });
  fc.assert(
    fc.property(fc.array(fc.tuple(field, field), { maxLength: 5 }), (rows) => {
      const text = formatCsv(['x', 'y'], rows);
      return JSON.stringify(readCsv(text)) === JSON.stringify([['x', 'y'], ...rows]);
    }),
  );
  t.end();
});

/** A second opinion: one pass over the characters, by the grammar of RFC 4180, section 2. */
function readCsv(text: string): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let value = '';
  let quoted = false;
  for (let at = 0; at < text.length; at += 1) {
    const character = text.charAt(at);
    if (quoted) {
      if (character !== '"') value += character;
      else if (text.charAt(at + 1) === '"') {
        value += '"';
        at += 1;
      } else quoted = false;
    } else if (character === '"') quoted = true;
    else if (character === ',') {
      row.push(value);
      value = '';
    } else if (character === '\r' && text.charAt(at + 1) === '\n') {
      rows.push([...row, value]);
      row = [];
      value = '';
      at += 1;
    } else value += character;
  }
  return rows;
}
