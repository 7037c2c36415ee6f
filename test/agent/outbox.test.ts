import { appendFile, chmod, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { openOutbox, type AgentEvent } from '../../agent/outbox.js';
import { noFaults } from '../../proto/kit/fault.js';
import { silentLog } from '../../proto/kit/log.js';

const deps = { log: silentLog, fault: noFaults };
const event = (message: string): AgentEvent => ({
  kind: 'domain.started',
  vmUuid: '',
  vmId: '',
  message,
  metadata: {},
  time: 1,
});

async function place(t: Test): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ostler-outbox-'));
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  return join(directory, 'outbox', 'events.jsonl');
}

void t.test('half a line, left by a crash, spoils nothing that comes after it', async (t) => {
  const path = await place(t);
  const first = await openOutbox(path, deps);
  first.add(event('one'));
  await first.flush();
  await appendFile(path, '{"sequence":2,"ev');
  const second = await openOutbox(path, deps);
  second.add(event('two'));
  await second.flush();
  const third = await openOutbox(path, deps);
  t.same(
    third.pending().map(({ sequence, message }) => [sequence, message]),
    [
      [1, 'one'],
      [2, 'two'],
    ],
  );
});

void t.test(
  'an event is given out only when it is on disk; one that could not be written is tried again',
  async (t) => {
    const path = await place(t);
    const outbox = await openOutbox(path, deps);
    const durable: number[] = [];
    outbox.onDurable = ({ sequence }) => durable.push(sequence);
    // Root may write anywhere, but nobody can append to a directory.
    await rename(path, `${path}.away`);
    await mkdir(path);
    await chmod(path, 0o700);
    outbox.add(event('one'));
    t.same(outbox.pending(), [], 'still on its way');
    await outbox.flush();
    t.same(outbox.pending(), [], 'it could not be written');
    t.same(durable, []);
    await rm(path, { recursive: true });
    await outbox.flush();
    t.same(durable, [1], 'tried again without another event');
    outbox.add(event('two'));
    await outbox.flush();
    t.same(durable, [1, 2]);
    t.same((await openOutbox(path, deps)).pending().length, 2);
    t.match(await readFile(path, 'utf8'), /\n$/);
  },
);
