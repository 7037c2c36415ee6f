import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openStore } from '../../controller/store/lowdb.js';
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

void t.test('a transaction that a crash cut off is finished at the next start, and only once', async (t) => {
  const dataDir = await temporary(t);
  let store = await openStore({ dataDir });
  await store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }]);
  await store.close();
  // The state right after the transaction file was renamed: decided, no document written.
  const writes = [
    { kind: 'host', id: 'h-1', expect: 1, remove: true },
    { kind: 'vm', id: id('i', 1), expect: 0, put: aVm(1) },
  ];
  const file = join(dataDir, 'store', 'transaction.json');
  await writeFile(file, JSON.stringify({ format: 1, revision: 2, writes }));
  store = await openStore({ dataDir });
  t.equal(store.revision, 2);
  t.equal(store.get('host', 'h-1'), undefined);
  t.equal(store.get('vm', id('i', 1))?.revision, 2);
  // Later single commits do not touch the transaction file; replaying it must not take them back.
  await store.commit([{ kind: 'vm', id: id('i', 1), expect: 2, put: aVm(1, { settled: 'error' }) }]);
  await store.close();
  store = await openStore({ dataDir });
  t.equal(store.get('vm', id('i', 1))?.value.settled, 'error');
  t.equal(store.revision, 3);
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
    ['store/transaction.json', '{', /transaction\.json/],
    ['store/transaction.json', '{"format":1,"revision":0,"writes":[]}', /transaction\.json/],
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
  t.equal((await stat(join(dataDir, 'store/token/ci.json'))).mode & 0o777, 0o600);
  t.equal((await stat(join(dataDir, 'store/token'))).mode & 0o777, 0o700);
  await store.close();
});
