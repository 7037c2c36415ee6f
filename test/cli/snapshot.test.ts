import t from 'tap';
import { fill } from './fixtures.js';
import { startFake, type Fake } from './fake-server.js';
import { ostler } from './harness.js';

async function filled(t: { teardown(undo: () => Promise<void>): void }): Promise<Fake> {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  return fake;
}

void t.test('the list is a tree with the place of now', async (t) => {
  const fake = await filled(t);
  const { code, stdout, stderr } = await ostler(fake, ['snapshot', 'list', 'web1']);
  t.equal(code, 0);
  const lines = stdout.split('\n').map((line) => line.replace(/ {2,}/g, ' | '));
  t.match(lines[1], /^base \| ready \| root \| 3 MiB \| .*fresh$/, 'C-038, V-51: disks, size, description');
  t.match(lines[2], /^├─ leaf \| ready \| root \| 64 KiB/);
  t.match(lines[3], /^└─ branch \| ← now \| ready \| root,memory \| 1\.2 MiB/, 'V-51: where it is now');
  t.match(lines[4], /^old /);
  t.equal(stdout.split('\n').length, 6 + Number(/written/.test(stdout)));
  t.match(stdout + stderr, /1\.5 MiB written since branch\./, 'V-51: how much has changed since');
  const csv = await ostler(fake, ['snap', 'ls', 'web1', '-o', 'csv']);
  t.match(csv.stdout.split(/\r?\n/)[3], /^branch,snap-0000000003,snap-0000000001,ready,"root,memory",1245184,/);
  const json = JSON.parse((await ostler(fake, ['snapshot', 'list', 'web1', '-o', 'json'])).stdout) as unknown[];
  t.match(json[2], { name: 'branch', now: true, memoryBytes: 1048576, disks: [{ deltaBytes: 196608 }] });
  const none = await ostler(fake, ['snapshot', 'list', 'db1']);
  t.equal(none.stdout, '');
  t.match(none.stderr, /ostler snapshot create db1/);
});

void t.test('create says what it takes', async (t) => {
  const fake = await filled(t);
  const line = ['snapshot', 'create', 'web1', 'nightly', '--disk', 'root', '--disk', 'data1', '--quiesce'];
  const { code, stdout } = await ostler(fake, [...line, '--description', '밤', '--tag', 'kind=nightly']);
  t.equal(code, 0);
  t.match(stdout, /^web1 has a new snapshot/);
  t.match(
    fake.requestOf('createSnapshot'),
    {
      ...{ vm: 'web1', name: 'nightly', description: '밤', quiesce: true, memory: false },
      ...{ disks: ['root', 'data1'], tags: { kind: 'nightly' }, requestId: 'request-1' },
    },
    'C-130, M-084, M-092, M-094',
  );
  await ostler(fake, ['snapshot', 'create', 'web1', '--memory']);
  t.match(fake.requestOf('createSnapshot'), { name: '', memory: true, disks: [] }, 'V-50, M-093');
  t.equal((await ostler(fake, ['snapshot', 'create', 'web1', 'x', '--tag', 'nothing'])).code, 2);
});

void t.test('what loses something asks first', async (t) => {
  const fake = await filled(t);
  for (const verb of ['revert', 'delete']) {
    const asked = await ostler(fake, ['snapshot', verb, 'web1', 'base']);
    t.equal(asked.code, 2, `${verb}: without a terminal it needs --yes`);
    t.notOk(
      fake.requests.some((one) => one.method === `${verb}Snapshot`),
      'nothing was sent',
    );
    t.equal((await ostler(fake, ['snapshot', verb, 'web1', 'base', '--yes'])).code, 0);
    t.match(fake.requestOf(`${verb}Snapshot`), { vm: 'web1', snapshot: 'base' }, 'M-095');
  }
});

void t.test('set merges tags, rename renames, flatten names disks', async (t) => {
  const fake = await filled(t);
  await ostler(fake, ['snapshot', 'set', 'web1', 'leaf', '--description', '', '--tag', 'a=b']);
  t.match(
    fake.requestOf('updateSnapshot'),
    { snapshot: 'leaf', updateMask: { paths: ['description', 'tags'] }, values: { tags: { a: 'b' }, description: '' } },
    'C-133',
  );
  await ostler(fake, ['snapshot', 'rename', 'web1', 'leaf', 'twig']);
  t.match(fake.requestOf('updateSnapshot'), { values: { name: 'twig' }, updateMask: { paths: ['name'] } });
  t.equal((await ostler(fake, ['snapshot', 'set', 'web1', 'leaf'])).code, 2);
  await ostler(fake, ['snapshot', 'flatten', 'web1', '--disk', 'root']);
  t.match(fake.requestOf('flattenDisks'), { disks: ['root'] });
  const shown = await ostler(fake, ['snapshot', 'show', 'web1', 'branch']);
  t.match(shown.stdout, /Snapshot:\s+branch \(snap-0000000003\)/);
  t.match(shown.stdout, /root: 10 GiB, 192 KiB of its own in branch\.qcow2/);
});
