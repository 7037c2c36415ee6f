import { deepEqual } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import t from 'tap';
import YAML from 'yaml';

const SCRIPT = fileURLToPath(new URL('../../../test/guest/files/yaml.awk', import.meta.url));

const skip = spawnSync('busybox', ['true']).status === 0 ? false : 'busybox is missing: scripts/prepare';

/** What the guest's reader makes of a document: path → value. */
function flatten(document: string): Record<string, string> {
  const output = execFileSync('busybox', ['awk', '-f', SCRIPT], { input: document, encoding: 'utf8' });
  const lines = output.split('\n').filter((line) => line !== '');
  return Object.fromEntries(
    lines.map((line) => {
      const tab = line.indexOf('\t');
      const value = line.slice(tab + 1).replace(/\\([n\\])/g, (_, c: string) => (c === 'n' ? '\n' : '\\'));
      return [line.slice(0, tab), value];
    }),
  );
}

/** A document whose scalars are all strings, as YAML's failsafe schema reads them. */
type Tree = string | readonly Tree[] | { readonly [key: string]: Tree };

/** The same, by a full YAML reader. */
function judge(value: Tree, path = ''): Record<string, string> {
  if (typeof value !== 'object') return { [path]: value };
  const entries = Object.entries(value).map(([key, item]) => judge(item, path === '' ? key : `${path}.${key}`));
  return Object.assign({}, ...entries) as Record<string, string>;
}

const DOCUMENTS = {
  'sequences in sequences':
    'runcmd:\n  - - sh\n    - -c\n    - "echo: # no"\n  - [touch, "/a b", \'it\'\'s\']\n  - plain # comment\n',
  'sequence at its key’s own indentation':
    'users:\n- default\n- name: a\n  keys:\n  - ssh-rsa A b@c\n  - two\nend: 1\n',
  'literal, folded, stripped': 'a: |\n  one\n    two\n\n  three\nb: >-\n  one\n  two\n\n  three\nc: |-\n  x\n',
  'flow maps over lines': 'a: {b: [1, 2], "c d": {e: f}}\ng: [\n  one,\n  two\n]\n',
  json: '{"a": [{"b": "c:d, [e]"}, "f\\"g"], "h": {"i": "j"}}\n',
  'quoted over lines': 'a: "one\n  two\\\n  three"\nb: plain\n  goes on\n',
};

for (const [name, document] of Object.entries(DOCUMENTS)) {
  void t.test(name, { skip }, (t) => {
    t.same(flatten(document), judge(YAML.parse(document, { schema: 'failsafe' }) as Tree));
    t.end();
  });
}

void t.test('whatever our own writer writes, for any text', { skip }, (t) => {
  // Text of nothing but blanks and line breaks occurs in no seed.
  const text = fc.stringMatching(/^[ -~가-힣\n]{0,120}$/).filter((value) => value === '' || value.trim() !== '');
  const trees = fc.array(fc.record({ name: text, keys: fc.array(text, { minLength: 1, maxLength: 3 }) }), {
    minLength: 1,
    maxLength: 40,
  });
  fc.assert(
    fc.property(trees, (users) => {
      deepEqual(flatten(YAML.stringify({ users })), judge({ users }));
    }),
    { numRuns: 60 },
  );
  t.pass('60 documents read alike');
  t.end();
});
