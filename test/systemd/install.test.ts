import { execFile, spawn } from 'node:child_process';
import { lstat, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';

const run = promisify(execFile);
const INSTALL = fileURLToPath(new URL('../../../scripts/install', import.meta.url));

/** A port of this machine that was free a moment ago. */
function freePort(): Promise<number> {
  return new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as AddressInfo;
      server.close(() => resolve(port));
    });
  });
}

/** Runs the installed controller until it answers, and says what it answered; its log when it ended instead. */
async function serve(root: string): Promise<string> {
  const [api, link, http] = [await freePort(), await freePort(), await freePort()];
  const config = join(root, 'controller-test.yaml');
  const listen = (port: number): object => ({ listen: `127.0.0.1:${port}` });
  await writeFile(
    config,
    JSON.stringify({ dataDir: join(root, 'data'), api: listen(api), link: listen(link), http: listen(http) }),
  );
  const argv = [join(root, 'usr/bin/ostler-controller'), 'run', '--config', config];
  const controller = spawn(process.execPath, argv, { cwd: '/', stdio: ['ignore', 'ignore', 'pipe'] });
  let log = '';
  controller.stderr.setEncoding('utf8').on('data', (text: string) => (log += text));
  const ended = new Promise((resolve) => controller.once('close', resolve));
  try {
    while (controller.exitCode === null) {
      const answer = await fetch(`http://127.0.0.1:${http}/vnc.html`).catch(() => undefined);
      if (answer !== undefined) return `HTTP/1.1 ${answer.status}`;
      await setTimeout(100);
    }
    return log;
  } finally {
    controller.kill();
    await ended;
  }
}

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

  t.ok((await readdir(join(root, 'usr/lib/ostler/proto/ostler/v1'))).includes('vm.proto'), 'the contract');
  t.match(await serve(root), 'HTTP/1.1 200', 'the installed controller serves the page of the screen');
  const version = await run(process.execPath, [join(root, 'usr/bin/ostler-agent'), '--version'], { cwd: '/' });
  t.match(version.stdout, /^\d+\.\d+\.\d+\n$/, 'the installed agent finds its modules');

  await writeFile(join(root, 'etc/ostler/agent.yaml'), 'defaultBridge: br7\n');
  await run(INSTALL, ['--root', root]);
  t.equal(await readFile(join(root, 'etc/ostler/agent.yaml'), 'utf8'), 'defaultBridge: br7\n');
  t.same((await readdir(join(root, 'usr/lib'))).sort(), ['ostler', 'systemd', 'sysusers.d', 'tmpfiles.d']);
});

void t.test('a wrong flag does nothing', async (t) => {
  await t.rejects(run(INSTALL, ['--rot', '/tmp/x']), { code: 2 });
});
