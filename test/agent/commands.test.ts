import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import type { Executors } from '../../agent/command.js';
import { openJournal, type Journal } from '../../agent/journal.js';
import { createCommandRunner, type CommandRunner } from '../../agent/link/commands.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { systemClock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults } from '../../proto/kit/fault.js';
import { silentLog } from '../../proto/kit/log.js';
import { sampleRecord } from '../rig/records.js';
import { commandFor, startOf } from './rig/commands.js';

const record = sampleRecord();
const idle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 20));

interface Rig {
  readonly journal: Journal;
  readonly runner: CommandRunner;
  /** What happened, in its order. */
  readonly seen: string[];
  readonly results: ostler.v1.CommandResult.$Properties[];
  /** Lets the flush of the journal end: well, or with this error. */
  readonly flush: (error?: Error) => void;
}

/** A runner whose journal is flushed when the test says so. */
async function createRig(test: Pick<Test, 'teardown'>): Promise<Rig> {
  const directory = await mkdtemp(join(tmpdir(), 'ostler-commands-'));
  test.teardown(() => rm(directory, { recursive: true, force: true }));
  const options = { directory, bootId: 'b', retentionMs: 1e9, maxEntries: 100 };
  const real = await openJournal(options, { clock: systemClock, fault: noFaults });
  test.teardown(() => real.close());
  const seen: string[] = [];
  const results: ostler.v1.CommandResult.$Properties[] = [];
  let flush: Rig['flush'] = () => undefined;
  const flushed = new Promise<void>((resolve, reject) => {
    flush = (error) => (error === undefined ? resolve() : reject(error));
  });
  // On a loaded machine the order may come to the journal only after its flush has failed.
  flushed.catch(() => undefined);
  const journal: Journal = { ...real, begin: (entry) => flushed.then(() => real.begin(entry)) };
  const executors: Partial<Executors> = {
    start: async (_command, context) => {
      seen.push('start looks');
      await context.recorded;
      seen.push('start acts');
      return {};
    },
    shutdown: () => {
      seen.push('shutdown acts');
      return Promise.resolve({});
    },
  };
  const runner = createCommandRunner({
    ...{ journal, bootId: 'b', clock: systemClock, log: silentLog, fault: noFaults },
    executors: executors as Executors,
    signal: new AbortController().signal,
    report: () => Promise.resolve(undefined),
    onResult: (result) => void results.push(result),
    onProgress: () => undefined,
  });
  return { journal, runner, seen, results, flush };
}

const start = startOf(record, 'c1', []);
const shutdown = commandFor(record, 'c1', { shutdown: { force: true } });

void t.test('a start looks around while its order is flushed, and acts only afterwards', async (t) => {
  const { runner, journal, seen, results, flush } = await createRig(t);
  runner.handle(start);
  while (seen.length === 0) await idle();
  t.same(seen, ['start looks']);
  t.same(results, []);
  flush();
  await runner.idle();
  t.same(seen, ['start looks', 'start acts']);
  t.match(results, [{ command: 'c1', ok: true }]);
  t.ok(journal.get('c1')?.result, 'the answer is in the journal before it is given');
});

void t.test('any other order is in the journal before its executor is called', async (t) => {
  const { runner, seen, flush } = await createRig(t);
  runner.handle(shutdown);
  await idle();
  t.same(seen, []);
  flush();
  await runner.idle();
  t.same(seen, ['shutdown acts']);
});

void t.test('an order that cannot be written down is refused once, does nothing and leaves nothing', async (t) => {
  for (const command of [start, shutdown]) {
    const { runner, journal, seen, results, flush } = await createRig(t);
    runner.handle(command);
    await idle();
    flush(new OstlerError('STORAGE_FULL', 'No room to write the command journal.'));
    await runner.idle();
    t.same(
      seen.filter((what) => what.endsWith('acts')),
      [],
    );
    t.match(results, [{ command: 'c1', ok: false, error: { reason: 'STORAGE_FULL' } }]);
    t.equal(results.length, 1);
    t.equal(journal.get('c1'), undefined);
  }
});
