import { execFile, spawn, spawnSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { openStore } from '../../controller/store/lowdb.js';

const CHILD = fileURLToPath(new URL('./commit-child.js', import.meta.url));
const strace = spawnSync('strace', ['-V']).status === 0;

interface Call {
  readonly name: string;
  readonly target: string;
}

/** The calls between two marks that the child writes to stderr, in the order in which they were made. */
function callsBetween(trace: string, from: string, to: string): Call[] {
  const lines = trace.split('\n');
  const start = lines.findIndex((line) => line.includes(`"${from}`));
  const end = lines.findIndex((line) => line.includes(`"${to}`));
  if (start < 0 || end < 0) throw new Error(`no marks in the trace:\n${trace}`);
  const durable = new Set(lines.flatMap((line) => /"([^"]*)", [^)]*O_DSYNC/.exec(line)?.[1] ?? []));
  return lines.slice(start, end).flatMap((line) => {
    // `-y` prints the path of each descriptor; a call cut in two by another thread is counted at its end.
    const flush =
      /(fsync|fdatasync)\(\d+<([^>]*)>\) += 0/.exec(line) ?? /<\.\.\. (fsync|fdatasync) resumed>/.exec(line);
    // Opened with O_DSYNC: a write ends when the disk has it.
    const written = /write\(\d+<([^>]*)>/.exec(line);
    if (written !== null && durable.has(written[1] ?? '')) return [{ name: 'flush', target: written[1] ?? '' }];
    const rename = /rename(?:at2?)?\((?:AT_FDCWD[^,]*, )?"([^"]*)", (?:AT_FDCWD[^,]*, )?"([^"]*)"/.exec(line);
    if (rename !== null) return [{ name: 'rename', target: rename[2] ?? '' }];
    if (flush !== null) return [{ name: 'flush', target: flush[2] ?? '?' }];
    return [];
  });
}

const noStrace = strace ? {} : { skip: 'strace is not installed' };

void t.test(
  'system calls: the log before the commit resolves; then data, name, directory of each document',
  noStrace,
  async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'ostler-fsync-'));
    t.teardown(() => rm(dataDir, { recursive: true, force: true }));
    const out = join(dataDir, 'trace');
    const data = join(dataDir, 'data');
    const calls = 'trace=fsync,fdatasync,rename,renameat,renameat2,unlink,write,open,openat';
    // One thread in libuv's pool: the trace has no calls cut in two.
    await promisify(execFile)('strace', ['-f', '-y', '-e', calls, '-o', out, process.execPath, CHILD, 'trace', data], {
      env: { ...process.env, UV_THREADPOOL_SIZE: '1' },
    });
    const trace = await readFile(out, 'utf8');

    const shown = (from: string, to: string): string[] =>
      callsBetween(trace, from, to).map(({ name, target }) => `${name} ${target.replace(data, '')}`);
    for (const what of ['single', 'multi', 'remove'])
      t.same(
        shown(`MARK ${what}`, `MARK ${what}-done`),
        ['flush /store/transactions.jsonl'],
        `${what}: one flush decides`,
      );
    const before = shown('MARK open', 'MARK single');
    t.ok(before.includes('flush /store'), `the log's own name is durable before its first line: ${before.join(', ')}`);

    const placed = shown('MARK close', 'MARK close-done');
    const order = ['flush /store/host/h-1.json.tmp', 'rename /store/host/h-1.json', 'flush /store/host'];
    t.same(
      placed.filter((call) => call.includes('/host')),
      order,
      'the document follows: data, name, directory; once for both of its changes',
    );
    t.same(
      placed.filter((call) => call.includes('/vm')),
      ['flush /store/vm'],
      'of the one that was removed, only the removal',
    );

    const event = callsBetween(trace, 'MARK event', 'MARK event-done');
    t.match(event.at(-1)?.target, /events\/0{15}1\.jsonl$/, 'an event is flushed before append resolves');
  },
);

/** Commits in a loop until it is killed; what it wrote to stdout was acknowledged. */
async function killWhileCommitting(dataDir: string, afterMs: number): Promise<{ vm: number; event: number }> {
  const child = spawn(process.execPath, [CHILD, 'loop', dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  let text = '';
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()));
  const exited = new Promise((resolve) => child.once('exit', resolve));
  await new Promise((resolve) => child.stdout.once('data', resolve));
  await new Promise((resolve) => setTimeout(resolve, afterMs));
  child.kill('SIGKILL');
  await exited;
  const last = (word: string): number => {
    const numbers = [...text.matchAll(new RegExp(`^${word} (\\d+)\\n`, 'gm'))].map((match) => Number(match[1]));
    return numbers.at(-1) ?? 0;
  };
  return { vm: last('vm'), event: last('event') };
}

void t.test(
  'kill -9 in the middle of commits: every acknowledged write is there, and every commit whole',
  async (t) => {
    const dataDir = await mkdtemp(join(tmpdir(), 'ostler-kill-'));
    t.teardown(() => rm(dataDir, { recursive: true, force: true }));
    const { openEventLog } = await import('../../controller/store/event-log.js');
    const { systemClock } = await import('../../proto/kit/clock.js');
    let acknowledged = 0;
    for (let round = 0; round < 12; round += 1) {
      const said = await killWhileCommitting(dataDir, 5 + ((round * 37) % 90));
      const store = await openStore({ dataDir });
      const vm = store.get('vm', 'i-1')?.value.updateTime ?? 0;
      const host = store.get('host', 'h-1')?.value.seenTime ?? 0;
      t.ok(vm >= said.vm, `round ${round}: ${said.vm} was acknowledged, ${vm} is there`);
      t.equal(host, vm, 'both documents of the commit, or none');
      const flags = [...store.list('image')].map(({ id }) => id);
      t.same(flags, [`img-${vm}`], 'the document of the round before is removed, the new one is there');
      await store.close();
      const events = await openEventLog({ dataDir }, { clock: systemClock });
      const [newest] = events.list({ beforeSequence: 0, limit: 1, matches: () => true });
      t.ok(Number(newest?.message ?? '0') >= said.event, 'every acknowledged event is there');
      await events.close();
      acknowledged = said.vm;
    }
    t.ok(acknowledged > 12, `${acknowledged} commits in all`);
  },
);
