import type { Test } from 'tap';
import type { OstlerError } from '../../proto/kit/errors.js';
import type { Store } from '../../controller/store/store.js';
import { aHost, aVm } from './documents.js';

export interface StoreUnderTest {
  readonly store: Store;
  /** Closes it and opens what it left; undefined: it leaves nothing. */
  readonly reopen: (() => Promise<Store>) | undefined;
}

/** What every store must do. The same suite runs on each of them. */
export function storeContract(t: Test, make: () => Promise<StoreUnderTest>): void {
  void t.test('a new store is empty, at revision 0', async (t) => {
    const { store } = await make();
    t.equal(store.revision, 0);
    t.same([...store.list('vm')], []);
    t.equal(store.get('vm', 'i-1'), undefined);
    await store.close();
  });

  void t.test('a commit is seen as a whole, under one new revision', async (t) => {
    const { store } = await make();
    const revision = await store.commit([
      { kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) },
      { kind: 'host', id: 'h-1', expect: 0, put: aHost(1) },
    ]);
    t.equal(revision, 1);
    t.equal(store.revision, 1);
    t.same(store.get('vm', 'i-1'), { id: 'i-1', revision: 1, value: aVm(1) });
    t.equal(store.get('host', 'h-1')?.revision, 1);
    t.equal(await store.commit([{ kind: 'vm', id: 'i-1', expect: 1, put: aVm(1, { settled: 'running' }) }]), 2);
    t.equal(store.get('vm', 'i-1')?.value.settled, 'running');
    t.equal(store.get('host', 'h-1')?.revision, 1, 'the other keeps its revision');
    await store.close();
  });

  void t.test('one wrong expectation refuses all, naming the document', async (t) => {
    const { store } = await make();
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    const attempts = [
      { kind: 'vm', id: 'i-1', expect: 0, put: aVm(9) },
      { kind: 'vm', id: 'i-1', expect: 7, put: aVm(9) },
      { kind: 'vm', id: 'i-2', expect: 3, put: aVm(9) },
      { kind: 'vm', id: 'i-1', expect: 9, remove: true },
    ] as const;
    for (const bad of attempts) {
      const commit = store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }, bad]);
      await t.rejects(commit, { code: 'STALE_ETAG', metadata: { id: bad.id } });
    }
    t.equal(store.revision, 1);
    t.equal(store.get('host', 'h-1'), undefined);
    t.same(store.get('vm', 'i-1')?.value, aVm(1));
    await store.close();
  });

  void t.test('of two commits on one revision, one wins', async (t) => {
    const { store } = await make();
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    const race = await Promise.allSettled(
      Array.from({ length: 8 }, (_, index) =>
        store.commit([{ kind: 'vm', id: 'i-1', expect: 1, put: aVm(1, { updateTime: index }) }]),
      ),
    );
    const lost = race.filter((one) => one.status === 'rejected');
    t.equal(lost.length, 7);
    t.ok(lost.every((one) => (one.reason as OstlerError).code === 'STALE_ETAG'));
    t.equal(store.revision, 2);
    await store.close();
  });

  void t.test('a removed document is gone, and can be made anew', async (t) => {
    const { store } = await make();
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 1, remove: true }]);
    t.equal(store.get('vm', 'i-1'), undefined);
    t.same([...store.list('vm')], []);
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    t.equal(store.get('vm', 'i-1')?.revision, 3, 'its revision was never used before');
    await store.close();
  });

  void t.test('values are frozen, and the store has its own', async (t) => {
    const { store } = await make();
    const mine = { ...aHost(1), tags: ['a'] };
    const commit = store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: mine }]);
    mine.tags.push('late');
    await commit;
    const value = store.get('host', 'h-1')?.value;
    t.same(value?.tags, ['a']);
    t.throws(() => (value?.tags as string[]).push('b'), TypeError);
    t.throws(() => Object.assign(value ?? {}, { name: 'x' }), TypeError);
    await store.close();
  });

  void t.test('subscribers hear of every commit, after it can be read, until they stop', async (t) => {
    const { store } = await make();
    const heard: string[] = [];
    const stop = store.subscribe((changed) => {
      heard.push(changed.map(({ kind, id }) => `${kind}/${id}@${store.get(kind, id)?.revision ?? 0}`).join(' '));
    });
    await store.commit([
      { kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) },
      { kind: 'host', id: 'h-1', expect: 0, put: aHost(1) },
    ]);
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 1, remove: true }]);
    stop();
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    t.same(heard, ['vm/i-1@1 host/h-1@1', 'vm/i-1@0']);
    await store.close();
  });

  void t.test('ids that could leave the directory are refused, and a document twice in a commit', async (t) => {
    const { store } = await make();
    for (const id of ['', '.', '..', '../x', 'a/b', '.hidden', 'a\0b', 'x'.repeat(129)]) {
      await t.rejects(store.commit([{ kind: 'vm', id, expect: 0, put: aVm(1) }]), { code: 'INVALID_FIELD' }, JSON.stringify(id));
    }
    const twice = { kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) } as const;
    await t.rejects(store.commit([twice, twice]), { code: 'INTERNAL' });
    t.equal(store.revision, 0);
    await store.close();
  });

  void t.test('what is committed is there after reopening, revisions go on', async (t) => {
    const { store, reopen } = await make();
    if (reopen === undefined) {
      t.pass('a store in memory leaves nothing');
      await store.close();
      return;
    }
    await store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]);
    await store.commit([
      { kind: 'vm', id: 'i-1', expect: 1, put: aVm(1, { settled: 'running' }) },
      { kind: 'host', id: 'h-1', expect: 0, put: aHost(1) },
    ]);
    await store.commit([{ kind: 'host', id: 'h-2', expect: 0, put: aHost(2) }]);
    await store.commit([{ kind: 'host', id: 'h-2', expect: 3, remove: true }]);
    const before = { vms: [...store.list('vm')], hosts: [...store.list('host')] };
    const again = await reopen();
    t.equal(again.revision, 4, 'although the newest document is gone');
    t.same(plain({ vms: [...again.list('vm')], hosts: [...again.list('host')] }), plain(before));
    t.equal(await again.commit([{ kind: 'vm', id: 'i-2', expect: 0, put: aVm(2) }]), 5);
    await again.close();
  });

  void t.test('a closed store refuses', async (t) => {
    const { store } = await make();
    await store.close();
    await t.rejects(store.commit([{ kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) }]), { code: 'STORE_ERROR' });
  });
}

/** Absent and undefined are the same to a reader of a document, but not to a comparison. */
function plain(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
