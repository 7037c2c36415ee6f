import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openJournal, type Journal } from '../../agent/journal.js';
import { systemClock } from '../../proto/kit/clock.js';
import { noFaults } from '../../proto/kit/fault.js';

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

async function place(test: Pick<Test, 'teardown'>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ostler-journal-'));
  test.teardown(() => rm(directory, { recursive: true, force: true }));
  return directory;
}

function open(directory: string, changes: { maxEntries?: number } = {}): Promise<Journal> {
  const options = { directory, bootId: 'boot-1', retentionMs: 3_600_000, maxEntries: 1_000, ...changes };
  return openJournal(options, { clock: systemClock, fault: noFaults });
}

function begin(journal: Journal, id: string): Promise<void> {
  return journal.begin({ id, vmId: 'i-1', epoch: 3, kind: 'start', command: bytes(`command ${id}`) });
}

void t.test('what was begun, noted, done and acknowledged is known after a crash', async (t) => {
  const directory = await place(t);
  const before = await open(directory);
  await Promise.all(['a', 'b', 'c', 'd'].map((id) => begin(before, id)));
  await before.note('a', '메모');
  await before.done('b', bytes('result b'));
  await before.done('c', bytes('result c'));
  await before.acked('c');
  await before.forget('d');
  // Not closed: a kill closes nothing.
  const after = await open(directory);
  t.same(
    after.unfinished().map(({ id }) => id),
    ['a'],
  );
  const entry = after.get('a');
  t.match(entry, { vmId: 'i-1', epoch: 3, kind: 'start', bootId: 'boot-1', notes: ['메모'] });
  t.equal(new TextDecoder().decode(entry?.command), 'command a');
  t.same(
    after.unacked().map(({ id, result }) => [id, new TextDecoder().decode(result)]),
    [['b', 'result b']],
  );
  t.ok(after.get('c')?.ackedTime);
  t.equal(after.get('d'), undefined);
  await before.close();
  await after.close();
});

void t.test('acknowledged entries make room, the file is written anew, and nothing else is lost', async (t) => {
  const directory = await place(t);
  const journal = await open(directory, { maxEntries: 10 });
  await begin(journal, 'open');
  await journal.note('open', 'made a disk');
  for (let round = 0; round < 900; round += 1) {
    const id = `c${round}`;
    await begin(journal, id);
    await journal.done(id, bytes('ok'));
    await journal.acked(id);
  }
  const full = (await readFile(join(directory, 'commands.jsonl'), 'utf8')).split('\n').length;
  t.equal(await journal.prune(), 891);
  const late = begin(journal, 'late');
  await late;
  const pruned = (await readFile(join(directory, 'commands.jsonl'), 'utf8')).split('\n').length;
  t.ok(full > 2_700 && pruned < 50, `${full} lines, then ${pruned}`);
  await journal.close();
  const after = await open(directory);
  t.same(
    after.unfinished().map(({ id, notes }) => [id, notes]),
    [
      ['open', ['made a disk']],
      ['late', []],
    ],
  );
  t.ok(after.get('c899')?.result);
  t.equal(after.get('c5'), undefined);
  await after.close();
});

void t.test('a damaged line stops the start and says where; nothing is dropped silently', async (t) => {
  const directory = await place(t);
  const journal = await open(directory);
  await begin(journal, 'a');
  await journal.close();
  const path = join(directory, 'commands.jsonl');
  const text = await readFile(path, 'utf8');
  await writeFile(path, `${text}{"line":"done","id":"a"\n`);
  await t.rejects(open(directory), { code: 'STORAGE_ERROR', message: /commands\.jsonl.*line 2/, remedy: /.+/ });
  // Half a line is what a crash may leave.
  await writeFile(path, `${text}{"line":"done","id":"a"`);
  const after = await open(directory);
  t.equal(after.unfinished().length, 1);
  await after.close();
});
