import { execFile } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { startCluster } from './cluster.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

void t.test('a Python client made from the proto files creates and starts a VM', async (t) => {
  const cluster = await startCluster();
  t.teardown(() => cluster.down());
  await cluster.join('h1');
  await cluster.importGuest();
  const work = await mkdtemp('/tmp/ostler-python.');
  t.teardown(() => rm(work, { recursive: true }));
  const { stdout } = await promisify(execFile)('/usr/bin/python3', [
    join(ROOT, 'test/e2e/files/create_vm.py'),
    ...[
      join(ROOT, 'proto'),
      work,
      cluster.apiAddress,
      join(cluster.directory, 'controller/ca/ca.pem'),
      cluster.token,
      'snake',
      'guest',
    ],
  ]);
  t.match(stdout.trim(), /^i-/);
  t.same(await cluster.domains('h1'), [stdout.trim()]);
});
