import { execFile } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const INSTALL = fileURLToPath(new URL('../../../scripts/install', import.meta.url));

void t.test('an installation in a staging directory runs, and a second one keeps the configs', async (t) => {
  const root = await mkdtemp(join(tmpdir(), 'ostler-install-'));
  t.teardown(() => rm(root, { recursive: true, force: true }));
  await run(INSTALL, ['--root', root]);
  for (const command of ['ostler', 'ostler-controller', 'ostler-agent'])
    t.ok((await lstat(join(root, 'usr/bin', command))).isSymbolicLink(), command);
  const { stdout } = await run(
    process.execPath,
    [join(root, 'usr/bin/ostler'), 'explain', 'NO_CAPACITY', '-o', 'json'],
    {
      cwd: '/',
    },
  );
  t.match(JSON.parse(stdout), { code: 'NO_CAPACITY', exitCode: 5 }, 'it finds its modules in the staging directory');
  const modules = await readdir(join(root, 'usr/lib/ostler/node_modules'));
  t.ok(modules.includes('commander'));
  t.notOk(modules.includes('typescript'), 'no development packages');
  t.notOk((await readdir(join(root, 'usr/lib/ostler/dist'))).includes('test'), 'no tests');
  t.equal((await stat(join(root, 'usr/lib/ostler/dist/controller/cli/main.js'))).mode & 0o777, 0o755);

  await writeFile(join(root, 'etc/ostler/agent.yaml'), 'defaultBridge: br7\n');
  await run(INSTALL, ['--root', root]);
  t.equal(await readFile(join(root, 'etc/ostler/agent.yaml'), 'utf8'), 'defaultBridge: br7\n');
  t.same((await readdir(join(root, 'usr/lib'))).sort(), ['ostler', 'systemd', 'sysusers.d', 'tmpfiles.d']);
});

void t.test('a wrong flag does nothing', async (t) => {
  await t.rejects(run(INSTALL, ['--rot', '/tmp/x']), { code: 2 });
});
