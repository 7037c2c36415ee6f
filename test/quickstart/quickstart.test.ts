import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { guest } from '../guest/guest.js';
import type { Visit } from './visit.js';

const run = promisify(execFile);
const VISIT = fileURLToPath(new URL('visit.js', import.meta.url));
const QUICKSTART = fileURLToPath(new URL('../../../scripts/quickstart', import.meta.url));

/** In a network of its own, so that the machine's ports and bridges are neither needed nor touched. */
async function visit(directory: string): Promise<Visit> {
  const { stdout } = await run('unshare', ['--net', '--', process.execPath, VISIT], {
    env: { ...process.env, OSTLER_QUICKSTART_DIR: directory },
    maxBuffer: 1 << 24,
  });
  return JSON.parse(stdout) as Visit;
}

void t.test('quickstart: a real guest, its screen, a harmless second run, and nothing left of it', async (t) => {
  await guest(); // its parts are downloaded outside of the network of its own
  const parent = await mkdtemp(join(tmpdir(), 'ostler-qs-'));
  t.teardown(() => rm(parent, { recursive: true, force: true }));
  const directory = join(parent, 'state');
  const seen = await visit(directory);

  t.equal(seen.first.code, 0, seen.first.stderr);
  for (const step of ['1/6', '2/6', '3/6', '4/6', '5/6', '6/6']) t.match(seen.first.stderr, `] ${step} `);
  t.match(seen.first.stdout, /^ +http:\/\/127\.0\.0\.1:7480\/vnc\.html\?vm=i-\w+&name=hello&ticket=\S+$/m);
  const commands = seen.first.stdout.match(/^ {2}\.\/scripts\/ostler .*$/gm) ?? [];
  t.equal(commands.length, 3, 'the next three commands');
  t.equal(seen.page, '200 text/html; charset=utf-8');
  t.equal(seen.greeting, 'RFB 003.008\n', 'the screen behind the URL is QEMU’s');
  t.match(seen.list.stdout, /^hello,.*,running,/m);
  t.match(seen.console.stdout, /^EVENT up /m, 'the guest really booted');
  t.match(seen.console.stdout, /42-typed/, 'and its shell answers');

  t.equal(seen.second.code, 0, seen.second.stderr);
  t.not(seen.qemuBefore, '');
  t.equal(seen.qemuAfter, seen.qemuBefore, 'the second run leaves the guest alone');

  t.equal(seen.clean.code, 0, seen.clean.stderr);
  t.notOk(existsSync(directory));
  t.notMatch(seen.links, /ostlerqs|vnet/, 'no bridge, no tap');
  t.notMatch(seen.chains, /LIBVIRT|ostlerqs/, 'no rule, no chain of libvirt');
  const left = await run('pgrep', ['-f', '--', directory]).catch((error: unknown) => error as { stdout: string });
  t.equal(left.stdout, '', 'no process');
});

void t.test('quickstart: refuses what it cannot do, saying what to do', async (t) => {
  const attempt = (args: readonly string[], env: NodeJS.ProcessEnv = {}): Promise<unknown> =>
    run(QUICKSTART, args, { env: { ...process.env, ...env } });
  await t.rejects(attempt(['--celan']), { code: 2, stderr: /--clean {4}stops and removes/ });
  await t.rejects(attempt([], { OSTLER_QUICKSTART_DIR: 'relative' }), { code: 1, stderr: /must be an absolute path/ });
  // Somebody else's folder is neither used nor removed.
  const foreign = await mkdtemp(join(tmpdir(), 'ostler-qs-'));
  t.teardown(() => rm(foreign, { recursive: true, force: true }));
  await t.rejects(attempt(['--clean'], { OSTLER_QUICKSTART_DIR: foreign }), {
    code: 1,
    stderr: /not a folder that quickstart made/,
  });
  await t.rejects(
    attempt([], { OSTLER_QUICKSTART_DIR: fileURLToPath(new URL('../', import.meta.url)).replace(/\/$/, '') }),
    {
      code: 1,
      stderr: /is there and not ours/,
    },
  );
  t.ok(existsSync(foreign));
});
