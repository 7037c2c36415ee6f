import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { systemClock } from '../../proto/kit/clock.js';
import type { EventLog, EventRecord, NewEvent } from '../../controller/engine/env.js';
import { openEventLog } from '../../controller/store/event-log.js';
import { createMemoryEventLog } from '../../controller/store/event-memory.js';

async function temporary(test: Pick<Test, 'teardown'>): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ostler-events-'));
  test.teardown(() => rm(dataDir, { recursive: true, force: true }));
  return dataDir;
}

function event(message: string, change: Partial<NewEvent> = {}): NewEvent {
  const empty = { target: '', targetName: '', host: '', actor: '', operation: '', metadata: {} };
  return { kind: 'test', message, ...empty, ...change };
}

const all = { beforeSequence: 0, limit: 1000, matches: () => true };
const messages = (records: readonly EventRecord[]): string[] => records.map((record) => record.message);

async function take(source: AsyncIterable<EventRecord>, count: number): Promise<string[]> {
  const taken: string[] = [];
  for await (const record of source) {
    taken.push(record.message);
    if (taken.length === count) break;
  }
  return taken;
}

function contract(name: string, make: (test: Test) => Promise<EventLog>): void {
  void t.test(`${name}: list goes backwards in pages, watch goes on from a place`, async (t) => {
    const log = await make(t);
    for (let n = 1; n <= 10; n += 1) await log.append(event(String(n)));
    t.same(messages(log.list({ ...all, limit: 3 })), ['10', '9', '8']);
    t.same(messages(log.list({ ...all, limit: 3, beforeSequence: 8 })), ['7', '6', '5']);
    t.same(messages(log.list({ ...all, matches: (one) => Number(one.message) % 5 === 0 })), ['10', '5']);
    t.match(log.list(all)[0]?.id, /^ev-[0-9a-hjkmnp-tv-z]{16}$/);
    const stop = new AbortController();
    const live = take(log.watch(8, stop.signal), 4);
    const fromNow = take(log.watch(undefined, stop.signal), 1);
    await new Promise((resolve) => setImmediate(resolve));
    await log.append(event('11'));
    await log.append(event('12'));
    t.same(await live, ['9', '10', '11', '12']);
    t.same(await fromNow, ['11']);
    await t.rejects(take(log.watch(99, stop.signal), 1), { code: 'BAD_TOKEN', field: 'resume_token' });
    const idle = take(log.watch(undefined, stop.signal), 1);
    stop.abort();
    t.same(await idle, [], 'a watch ends with its signal');
  });

  void t.test(`${name}: the same key is one event`, async (t) => {
    const log = await make(t);
    await Promise.all([log.append(event('a', { key: 'k' })), log.append(event('a', { key: 'k' }))]);
    await log.append(event('b', { key: 'k2' }));
    await log.append(event('a', { key: 'k' }));
    t.same(messages(log.list(all)), ['b', 'a']);
  });
}

contract('memory', () => Promise.resolve(createMemoryEventLog({}, { clock: systemClock })));
contract('file', async (test) => openEventLog({ dataDir: await temporary(test) }, { clock: systemClock }));

void t.test('what is appended is there after reopening; keys are known; sequence goes on', async (t) => {
  const dataDir = await temporary(t);
  let log = await openEventLog({ dataDir }, { clock: systemClock });
  await Promise.all(Array.from({ length: 50 }, (_, n) => log.append(event(String(n), { key: String(n) }))));
  await log.close();
  log = await openEventLog({ dataDir }, { clock: systemClock });
  await log.append(event('again', { key: '7' }));
  await log.append(event('new'));
  t.equal(log.list(all).length, 51);
  t.equal(log.list(all)[0]?.sequence, 51);
  await log.close();
});

void t.test('old segments go; a reader whose place is gone is told; their keys do not come back', async (t) => {
  const dataDir = await temporary(t);
  const options = { dataDir, keep: 10, segmentEvents: 5 };
  let log = await openEventLog(options, { clock: systemClock });
  for (let n = 1; n <= 32; n += 1) await log.append(event(String(n), { key: String(n), time: n }));
  const kept = log.list(all);
  t.ok(kept.length >= 10 && kept.length <= 15, `${kept.length} are kept`);
  t.ok((await readdir(join(dataDir, 'events'))).length <= 3);
  const { signal } = new AbortController();
  await t.rejects(take(log.watch(1, signal), 1), { code: 'BAD_TOKEN' });
  await log.append(event('1', { key: '1', time: 1 }));
  t.equal(log.list(all)[0]?.message, '32');
  await log.close();
  log = await openEventLog(options, { clock: systemClock });
  t.same(messages(log.list(all)), messages(kept));
  await log.append(event('33'));
  t.equal(log.list(all)[0]?.sequence, 33);
  await log.close();
});

void t.test('half a last line is cut off; anything else that is wrong is refused with its place', async (t) => {
  const dataDir = await temporary(t);
  let log = await openEventLog({ dataDir }, { clock: systemClock });
  await log.append(event('one'));
  await log.append(event('two'));
  await log.close();
  const path = join(dataDir, 'events', '0000000000000001.jsonl');
  const good = await readFile(path, 'utf8');
  await writeFile(path, `${good}{"id":"ev-x","sequ`);
  log = await openEventLog({ dataDir }, { clock: systemClock });
  t.same(messages(log.list(all)), ['two', 'one']);
  await log.append(event('three'));
  await log.close();
  log = await openEventLog({ dataDir }, { clock: systemClock });
  t.same(messages(log.list(all)), ['three', 'two', 'one']);
  await log.close();
  for (const bad of [good.replace('"sequence":2', '"sequence":9'), good.replace('{', ''), `x\n${good}`]) {
    await writeFile(path, bad);
    await t.rejects(openEventLog({ dataDir }, { clock: systemClock }), { code: 'STORE_ERROR', message: /0001\.jsonl/ });
    t.equal(await readFile(path, 'utf8'), bad, 'and left alone');
  }
  await writeFile(path, good);
  await writeFile(join(dataDir, 'events', 'notes'), '');
  await t.rejects(openEventLog({ dataDir }, { clock: systemClock }), { message: /notes/ });
});
