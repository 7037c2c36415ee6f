import { PassThrough } from 'node:stream';
import type { Command } from 'commander';
import t from 'tap';
import { createProgram } from '../../controller/cli/program.js';
import { systemClock } from '../../proto/kit/clock.js';
import { CODES, OstlerError, type Code } from '../../proto/kit/errors.js';
import { fill } from './fixtures.js';
import { startFake } from './fake-server.js';
import { ostler } from './harness.js';

/** The interface for scripts, written out a second time on purpose: a change of an exit code must be meant. */
const EXIT_CODES: Readonly<Record<Code, number>> = {
  INVALID_FIELD: 2,
  NOT_FOUND: 3,
  ALREADY_EXISTS: 4,
  WRONG_STATE: 4,
  IN_USE: 4,
  STALE_ETAG: 4,
  OPERATION_RUNNING: 4,
  REQUEST_ID_REUSED: 4,
  NO_CAPACITY: 5,
  LIMIT_REACHED: 5,
  CHAIN_CHANGED: 4,
  UNAUTHENTICATED: 6,
  PERMISSION_DENIED: 6,
  TOKEN_SPENT: 6,
  STALE_EPOCH: 4,
  HOST_UNREACHABLE: 1,
  HYPERVISOR_UNAVAILABLE: 1,
  HYPERVISOR_ERROR: 1,
  STORAGE_FULL: 5,
  STORAGE_ERROR: 1,
  BAD_IMAGE: 4,
  GUEST_TIMEOUT: 1,
  TIMEOUT: 1,
  CANCELLED: 1,
  TICKET_SPENT: 6,
  BAD_TOKEN: 2,
  UNSUPPORTED: 1,
  STORE_ERROR: 1,
  INTERNAL: 1,
};

void t.test('every code has its exit code, and says what, which field and what next', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  t.same(Object.keys(EXIT_CODES).sort(), Object.keys(CODES).sort());
  for (const [code, exit] of Object.entries(EXIT_CODES) as [Code, number][]) {
    const error = new OstlerError(code, `It is ${code.toLowerCase()}.`, {
      remedy: 'Do this.',
      field: 'spec.x',
      metadata: { h1: 'no' },
    });
    fake.failures.set('getVm', error);
    const plain = await ostler(fake, ['show', 'web1']);
    t.equal(plain.code, exit, code);
    t.equal(plain.stdout, '', `${code}: nothing on stdout`);
    for (const part of [error.message, `[${code}]`, 'field: spec.x', 'next: Do this.', 'h1'])
      t.ok(plain.stderr.includes(part), `${code}: ${part} in ${plain.stderr}`);
    const json = await ostler(fake, ['show', 'web1', '-o', 'json']);
    t.equal(json.code, exit);
    t.same(JSON.parse(json.stderr), {
      error: {
        code,
        message: error.message,
        remedy: 'Do this.',
        field: 'spec.x',
        metadata: { h1: 'no' },
        exitCode: exit,
      },
    });
  }
});

void t.test('no capacity prints why not, host by host', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  fake.failures.set(
    'startVm',
    new OstlerError('NO_CAPACITY', 'No host can take db1.', {
      metadata: { h1: 'needs 64 GiB of memory, 12 GiB is free', 호스트2: '점검 중' },
      remedy: 'Add a host.',
    }),
  );
  const { code, stderr } = await ostler(fake, ['start', 'db1']);
  t.equal(code, 5);
  t.equal(
    stderr,
    [
      'ostler: No host can take db1. [NO_CAPACITY]',
      '  HOST      REASON',
      '  h1        needs 64 GiB of memory, 12 GiB is free',
      '  호스트2   점검 중',
      '  next: Add a host.',
      '',
    ].join('\n'),
  );
});

void t.test('mistakes in the command line are usage errors that say where to look', async (t) => {
  const lines: readonly (readonly [readonly string[], RegExp])[] = [
    [['frobnicate'], /Unknown command 'frobnicate'/],
    [['vm', 'strat', 'web1'], /Unknown command 'strat'.*start/],
    [['list', '--foo'], /Unknown option '--foo'/],
    [['list', 'surplus'], /Too many arguments/i],
    [['show'], /Missing required argument 'name'/],
    [['list', '-o', 'xml'], /xml.*invalid/],
    [['list', '--timeout', '90'], /--timeout: "90" is not a length of time/],
    [['list', '--limit', 'many'], /--limit: "many" is not a whole number/],
    [['stop', 'web1', '--force-after', '--keep-running'], /exclude each other/],
    [['vm', 'set', 'web1'], /nothing to change/],
    [['host', 'set', 'h1', '--cordon', '--uncordon'], /exclude each other/],
    [['top', 'disk'], /"disk" is not one of vm, host/],
    [['explain', 'WAT'], /"WAT" is not an error code/],
    [['image', 'import', '/nonexistent/x.qcow2'], /FILE: cannot read \/nonexistent\/x\.qcow2/],
    [['host', 'add', 'h9', '--dry-run'], /cannot be planned ahead/],
  ];
  const fake = await startFake();
  t.teardown(() => fake.close());
  for (const [line, expected] of lines) {
    const { code, stdout, stderr } = await ostler(fake, line);
    t.equal(code, 2, line.join(' '));
    t.match(stderr, expected);
    t.equal(stdout, '');
    const json = await ostler(fake, [...line, '--output=json']);
    t.equal((JSON.parse(json.stderr) as { error: { exitCode: number } }).error.exitCode, 2, 'as JSON too');
  }
  t.same(fake.requests, [], 'nothing was sent');
});

void t.test('a noun alone prints its help and is a usage error; --help is not', async (t) => {
  const alone = await ostler(undefined, ['vm']);
  t.equal(alone.code, 2);
  t.match(alone.stderr, /Usage: ostler vm/);
  const help = await ostler(undefined, ['vm', '--help']);
  t.equal(help.code, 0);
  t.match(help.stdout, /Usage: ostler vm/);
  t.equal((await ostler(undefined, ['--version'])).stdout, '0.1.0\n');
});

void t.test('every verb has a help text with examples, and each example parses', async (t) => {
  const leaves: string[][] = [];
  const visit = (path: string[], command: Command): void => {
    if (command.commands.length === 0) leaves.push(path);
    for (const child of command.commands) visit([...path, child.name()], child);
  };
  visit([], idleProgram());
  t.ok(leaves.length > 40);
  for (const path of leaves) {
    const { stdout, code } = await ostler(undefined, [...path, '--help']);
    t.equal(code, 0, path.join(' '));
    t.match(stdout, `Usage: ostler ${path.join(' ')}`);
    const examples = (stdout.split('\nExamples:\n')[1] ?? '').split('\n').map((line) => line.trim());
    if (path.at(-1) !== 'top')
      t.ok(
        examples.some((line) => line.startsWith('ostler ')),
        `${path.join(' ')}: examples`,
      );
    for (const example of examples.filter((line) => /^ostler [^|<>&$]*$/.test(line))) {
      const words = [...example.matchAll(/"([^"]*)"|(\S+)/g)].map((match) => match[1] ?? match[2] ?? '');
      await t.resolves(idleProgram().parseAsync(words.slice(1), { from: 'user' }), example);
    }
  }
});

/** The real command tree whose verbs do nothing. */
function idleProgram(): Command {
  const stream = new PassThrough();
  const io = {
    ...{ stdin: stream, stdout: stream, stderr: stream, env: {}, home: '/', clock: systemClock },
    ...{ requestId: () => '', interrupted: new AbortController().signal },
  };
  return createProgram(io, '0', { verb: () => () => Promise.resolve() });
}

void t.test('without a controller it says how to log in, and an unreachable one is named', async (t) => {
  const none = await ostler(undefined, ['list']);
  t.equal(none.code, 2);
  t.match(none.stderr, /ostler login --address/);
  const gone = await ostler(undefined, ['list'], { env: { OSTLER_ADDRESS: 'http://127.0.0.1:1' } });
  t.equal(gone.code, 1);
  t.match(gone.stderr, /Cannot reach the controller at http:\/\/127\.0\.0\.1:1: .*ECONNREFUSED/);
  t.notMatch(gone.stderr, /Resolution note|Last error/);
});

void t.test('a wrong token is a matter of permission', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const { code, stderr } = await ostler(fake, ['list'], { env: { OSTLER_TOKEN: 'wrong' } });
  t.equal(code, 6);
  t.match(stderr, /UNAUTHENTICATED/);
});
