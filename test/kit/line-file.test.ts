import { mkdtemp, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openLineFile } from '../../proto/kit/line-file.js';

async function place(test: Pick<Test, 'teardown'>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ostler-lines-'));
  test.teardown(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'lines');
}

void t.test('lines are there again, in their order; half a line of a crash is cut off', async (t) => {
  const path = await place(t);
  const first = await openLineFile(path);
  t.same(first.lines, []);
  await Promise.all(['one', 'zwei ü', '셋'].map((line) => first.file.append(line)));
  await first.file.append('lazy', { lazy: true });
  t.equal(first.file.size, (await stat(path)).size);
  await first.file.close();
  await writeFile(path, 'half', { flag: 'a' });
  const second = await openLineFile(path);
  t.same(second.lines, ['one', 'zwei ü', '셋', 'lazy']);
  await second.file.append('next');
  await second.file.close();
  t.equal(await readFile(path, 'utf8'), 'one\nzwei ü\n셋\nlazy\nnext\n');
  t.equal((await stat(path)).mode & 0o777, 0o600);
  await t.rejects(second.file.append('late'), /closed/);
});

void t.test('a rewrite takes its turn: what was appended before is asked for, what comes after is kept', async (t) => {
  const path = await place(t);
  const { file } = await openLineFile(path);
  const known: string[] = [];
  const add = async (line: string): Promise<void> => {
    await file.append(line);
    known.push(line);
  };
  const work = [add('a'), add('b'), file.rewrite(() => known.map((line) => `${line}!`)), add('c'), add('d')];
  await Promise.all(work);
  t.equal(await readFile(path, 'utf8'), 'a!\nb!\nc\nd\n');
  t.equal(file.size, 10);
  await file.close();
});

void t.test('a rewrite that cannot be leaves the file as it was, and appending goes on', async (t) => {
  const path = await place(t);
  const { file } = await openLineFile(path);
  await file.append('a');
  const directory = join(path, '..');
  await rename(directory, `${directory}.away`);
  await t.rejects(
    file.rewrite(() => ['b']),
    { code: 'ENOENT' },
  );
  await file.append('c');
  await rename(`${directory}.away`, directory);
  t.equal(await readFile(path, 'utf8'), 'a\nc\n');
  await file.close();
});
