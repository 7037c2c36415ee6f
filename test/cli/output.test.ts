import t from 'tap';
import { fill } from './fixtures.js';
import { startFake } from './fake-server.js';
import { golden, ostler } from './harness.js';

/** Each line is run and compared with its golden file, byte by byte. */
const CASES: Readonly<Record<string, readonly string[]>> = {
  'vm-list.txt': ['list'],
  'vm-list-wide.txt': ['vm', 'list', '-o', 'wide'],
  'vm-list.csv': ['vm', 'list', '-o', 'csv'],
  'vm-list.json': ['vm', 'list', '-o', 'json'],
  'vm-list-name.txt': ['-o', 'name', 'list'],
  'vm-show.txt': ['show', 'web1'], // M-001, M-002, M-003
  'vm-show.yaml': ['vm', 'show', 'web1', '-o', 'yaml'],
  'vm-show-evil.txt': ['vm', 'show', 'evil'],
  'vm-top.txt': ['top'],
  'host-list.txt': ['host', 'list'],
  'host-list-wide.txt': ['host', 'list', '-o', 'wide'],
  'host-show.txt': ['host', 'show', 'h1'],
  'host-top.csv': ['top', 'host', '-o', 'csv'],
  'image-list.txt': ['image', 'list'],
  'image-show.txt': ['image', 'show', 'debian-12'],
  'op-list.txt': ['op', 'list', '-o', 'wide'],
  'op-show.txt': ['op', 'show', 'op-0000000001'],
  'event-list.txt': ['event', 'list', '-o', 'wide'],
  'event-list.csv': ['event', 'list', '-o', 'csv'],
  'status.txt': ['status'],
  'token-list.txt': ['token', 'list'],
  'rebuild.txt': ['controller', 'rebuild', '--yes'],
  'create-dry-run.txt': ['create', 'web9', '--image', 'debian-12', '--memory', '2GiB', '--dry-run'], // M-010
};

void t.test('outputs are as their golden files say', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  for (const [file, line] of Object.entries(CASES)) {
    const { code, stdout, stderr } = await ostler(fake, line);
    t.equal(stdout, golden(file, stdout), `ostler ${line.join(' ')}`);
    t.equal(code, 0, `${file}: exit code`);
    t.equal(stderr, '', `${file}: nothing on stderr`);
  }
});

void t.test('nothing in a table can command the terminal', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  for (const line of [['list', '-o', 'wide'], ['show', 'evil'], ['list', '-o', 'name'], ['event', 'list'], ['top']]) {
    const { stdout } = await ostler(fake, line);

    t.notMatch(stdout, /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/, line.join(' '));
  }
});

void t.test('json and yaml of every list are arrays, and every field is always there', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const empty = await ostler(fake, ['list', '-o', 'json']);
  t.same(JSON.parse(empty.stdout), []);
  t.equal(empty.stderr, '');
  fill(fake);
  for (const noun of ['vm', 'host', 'image', 'op', 'event', 'token']) {
    const { stdout, code } = await ostler(fake, [noun, 'list', '-o', 'json']);
    t.equal(code, 0);
    const rows = JSON.parse(stdout) as Record<string, unknown>[];
    t.ok(Array.isArray(rows) && rows.length > 0, noun);
    const keys = rows.map((row) => Object.keys(row).sort().join());
    t.equal(new Set(keys).size, 1, `${noun}: all rows have the same fields`);
  }
});

void t.test('an empty table says what to do next, on stderr', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const { stdout, stderr, code } = await ostler(fake, ['list']);
  t.equal(stdout, '');
  t.match(stderr, /No VMs\. Make one: ostler vm create/);
  t.equal(code, 0);
  t.equal((await ostler(fake, ['list', '--quiet'])).stderr, '');
});

void t.test('all pages are fetched, and --limit ends early', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  for (let index = 0; index < 1203; index += 1) fake.vms.set(`v${index}`, { id: `i-${index}`, name: `v${index}` });
  const all = await ostler(fake, ['list', '-o', 'name']);
  t.equal(all.stdout.trim().split('\n').length, 1203);
  t.equal(fake.requests.filter((one) => one.method === 'listVms').length, 3);
  const some = await ostler(fake, ['list', '-o', 'name', '--limit', '7']);
  t.equal(some.stdout.trim().split('\n').length, 7);
});

void t.test('every list has every format; bare verbs mean vm', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  for (const noun of ['vm', 'host', 'image', 'op', 'event', 'token']) {
    const said = new Set<string>();
    for (const format of ['table', 'wide', 'json', 'yaml', 'csv', 'name']) {
      const { code, stdout, stderr } = await ostler(fake, [noun, 'list', '-o', format]);
      t.equal(code, 0, `${noun} ${format}`);
      t.equal(stderr, '', 'data alone, and on stdout');
      if (format !== 'wide') said.add(stdout);
    }
    t.equal(said.size, 5, `${noun}: five different prints`);
  }
  for (const line of [['list'], ['show', 'web1'], ['status', 'web1'], ['top', '-o', 'csv']])
    t.equal((await ostler(fake, line)).stdout, (await ostler(fake, ['vm', ...line])).stdout, line.join(' '));
  t.match((await ostler(fake, ['status'])).stdout, /^Controller:/, 'without a name: the whole');
});
