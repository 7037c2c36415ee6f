import { appendFile, mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openStore } from '../../controller/store/lowdb.js';
import { eventually } from '../e2e/eventually.js';
import { storeContract } from './contract.js';
import { aHost, aToken, aVm, id } from './documents.js';

async function temporary(test: Pick<Test, 'teardown'>): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ostler-store-'));
  test.teardown(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

storeContract(t, async () => {
  const dataDir = await temporary(t);
  const store = await openStore({ dataDir });
  return {
    store,
    reopen: async () => {
      await store.close();
      return openStore({ dataDir });
    },
  };
});

void t.test('a second controller cannot open the same store', async (t) => {
  const dataDir = await temporary(t);
  const store = await openStore({ dataDir });
  await t.rejects(openStore({ dataDir }), { code: 'STORE_ERROR', message: /process \d+\) has this store open/ });
  await store.close();
  await (await openStore({ dataDir })).close();
});

void t.test('what a crash kept from its file is put in place at the next start, and only once', async (t) => {
  const dataDir = await temporary(t);
  let store = await openStore({ dataDir });
  await store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }]);
  await store.close();
  // The state right after two lines were flushed: decided, no document written; and half a line that was not.
  const second = [
    { kind: 'host', id: 'h-1', expect: 1, remove: true },
    { kind: 'vm', id: id('i', 1), expect: 0, put: aVm(1) },
  ];
  const third = [{ kind: 'vm', id: id('i', 1), expect: 2, put: aVm(1, { settled: 'stopped' }) }];
  const file = join(dataDir, 'store', 'transactions.jsonl');
  await appendFile(file, `${JSON.stringify({ format: 1, revision: 2, writes: second })}\n`);
  await appendFile(file, `${JSON.stringify({ format: 1, revision: 3, writes: third })}\n{"format":1,"revi`);
  store = await openStore({ dataDir });
  t.equal(store.revision, 3);
  t.equal(store.get('host', 'h-1'), undefined);
  t.equal(store.get('vm', id('i', 1))?.value.settled, 'stopped');
  t.same(await readdir(join(dataDir, 'store/host')), [], 'in the files, too');
  await store.commit([{ kind: 'vm', id: id('i', 1), expect: 3, put: aVm(1, { settled: 'error' }) }]);
  await store.close();
  for (const round of [1, 2]) {
    store = await openStore({ dataDir });
    t.equal(store.get('vm', id('i', 1))?.value.settled, 'error', `start ${round}`);
    t.equal(store.revision, 4);
    await store.close();
  }
});

void t.test('a document is made, removed and made again: each start ends with the last of it', async (t) => {
  const dataDir = await temporary(t);
  let store = await openStore({ dataDir, settleMs: 60_000 });
  await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
  await store.commit([{ kind: 'vm', id: 'i-1', expect: 1, remove: true }]);
  await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1, { settled: 'error' }) }]);
  await store.commit([{ kind: 'vm', id: 'i-2', expect: 0, put: aVm(2) }]);
  await store.commit([{ kind: 'vm', id: 'i-2', expect: 4, remove: true }]);
  await store.close();
  store = await openStore({ dataDir });
  t.equal(store.get('vm', 'i-1')?.revision, 3);
  t.equal(store.get('vm', 'i-2'), undefined);
  t.equal(store.revision, 5, 'no document carries it any more, the log does');
  await store.close();
});

void t.test('a document that changes often is written once; the log begins anew when it has grown', async (t) => {
  const dataDir = await temporary(t);
  const points: string[] = [];
  let store = await openStore({ dataDir, settleMs: 60_000 }, { fault: (name) => points.push(name) });
  const log = async (): Promise<number> => (await stat(join(dataDir, 'store', 'transactions.jsonl'))).size;
  const note = 'x'.repeat(50_000);
  let largest = 0;
  let restarts = 0;
  for (let round = 0; round < 60; round += 1) {
    await store.commit([
      { kind: 'host', id: 'h-1', expect: round, put: aHost(1, { certificateSerial: `${note}${round}` }) },
    ]);
    const size = await log();
    if (size < largest) restarts += 1;
    largest = Math.max(largest, size);
  }
  t.ok(largest > 1_000_000 && largest < 1_200_000, `${largest} bytes`);
  t.ok(restarts >= 2, `${restarts} times`);
  const written = points.filter((name) => name === 'store.document-written').length;
  t.ok(written >= 1 && written <= 3, `${written} times for 60 commits`);
  await store.close();
  store = await openStore({ dataDir });
  t.equal(store.get('host', 'h-1')?.value.certificateSerial, `${note}59`);
  t.equal(store.revision, 60);
  await store.close();
});

void t.test('files that are not ours or do not parse are refused with their name, and left alone', async (t) => {
  const good = JSON.stringify({ format: 1, kind: 'token', id: 'ci', revision: 1, value: aToken('ci') });
  const cases: readonly [string, string, RegExp][] = [
    ['store/token/ci.json', '', /token\/ci\.json/],
    ['store/token/ci.json', good.slice(0, 40), /token\/ci\.json/],
    ['store/token/ci.json', 'null', /not an object/],
    ['store/token/ci.json', good.replace('"format":1', '"format":2'), /format is 2/],
    ['store/token/ci.json', good.replace('"id":"ci"', '"id":"xx"'), /id is xx/],
    ['store/token/ci.json', good.replace('"kind":"token"', '"kind":"vm"'), /holds a vm/],
    ['store/token/ci.json', good.replace('operator', 'king'), /value\.role/],
    ['store/token/ci.json', good.replace('"revision":1', '"revision":-1'), /revision/],
    ['store/token/ci.json', good.replace('"name":"ci"', '"name":"ci","extra":1'), /extra|Unrecognized/],
    ['store/token/README', 'x', /token\/README/],
    ['store/notes.txt', 'x', /notes\.txt/],
    ['store/transactions.jsonl', '{\n', /transactions\.jsonl, line 1/],
    ['store/transactions.jsonl', '{"format":1,"revision":0,"writes":[]}\n', /transactions\.jsonl, line 1/],
  ];
  for (const [path, content, expected] of cases) {
    const dataDir = await temporary(t);
    await (await openStore({ dataDir })).close();
    await writeFile(join(dataDir, path), content);
    await t.rejects(openStore({ dataDir }), { code: 'STORE_ERROR', message: expected }, `${path}: ${content}`);
    t.equal(await readFile(join(dataDir, path), 'utf8'), content);
  }
});

void t.test('what a crash left of an unfinished write is cleaned up', async (t) => {
  const dataDir = await temporary(t);
  await (await openStore({ dataDir })).close();
  await writeFile(join(dataDir, 'store/vm/i-1.json.tmp'), '{"half":');
  const store = await openStore({ dataDir });
  t.same(await readdir(join(dataDir, 'store/vm')), []);
  await store.close();
});

void t.test('a document that could not be read again is refused at the commit', async (t) => {
  const dataDir = await temporary(t);
  const store = await openStore({ dataDir });
  const bad = { ...aHost(1), certificateSerial: 5 as unknown as string };
  await t.rejects(store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: bad }]), { code: 'STORE_ERROR' });
  t.equal(store.get('host', 'h-1'), undefined);
  await store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }]);
  await store.close();
});

void t.test('files are for their owner only', async (t) => {
  const dataDir = await temporary(t);
  const store = await openStore({ dataDir });
  await store.commit([{ kind: 'token', id: 'ci', expect: 0, put: aToken('ci') }]);
  t.equal((await stat(join(dataDir, 'store/transactions.jsonl'))).mode & 0o777, 0o600);
  await store.close();
  t.equal((await stat(join(dataDir, 'store/token/ci.json'))).mode & 0o777, 0o600);
  t.equal((await stat(join(dataDir, 'store/token'))).mode & 0o777, 0o700);
});

void t.test(
  'documents that cannot follow: what was decided counts, and nothing more is taken in until they can',
  async (t) => {
    const dataDir = await temporary(t);
    const [hosts, away] = [join(dataDir, 'store/host'), join(dataDir, 'away')];
    let store = await openStore({ dataDir, settleMs: 1 });
    await store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }]);
    await eventually('the document in its place', 10, () => readFile(join(hosts, 'h-1.json'), 'utf8'));
    await rename(hosts, away);
    await store.commit([
      { kind: 'host', id: 'h-1', expect: 1, put: aHost(1, { name: 'new' }) },
      { kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) },
    ]);
    t.equal(store.get('host', 'h-1')?.value.name, 'new');
    await eventually('the first failure', 10, async () => {
      const failed = await store.commit([]).then(
        () => false,
        (error: unknown) => (error as { code: string }).code === 'STORE_ERROR',
      );
      if (!failed) throw new Error('not yet');
    });
    const refused = store.commit([{ kind: 'vm', id: 'i-2', expect: 0, put: aVm(2) }]);
    await t.rejects(refused, { code: 'STORE_ERROR', remedy: /.+/ });
    t.equal(store.get('vm', 'i-2'), undefined);
    t.equal(store.revision, 2);
    await rename(away, hosts);
    await store.commit([{ kind: 'vm', id: 'i-2', expect: 0, put: aVm(2) }]);
    await store.close();
    store = await openStore({ dataDir });
    t.equal(store.get('host', 'h-1')?.value.name, 'new');
    t.equal(store.get('vm', 'i-2')?.revision, 3);
    await store.close();
  },
);
