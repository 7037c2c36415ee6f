import { rename } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startCluster } from './cluster.js';
import { eventually } from './eventually.js';
import type { VmJson } from './vm-view.js';

/** The controller's store is lost; the hosts remember. */
void t.test('rebuild restores every VM record from the domains', async (t) => {
  const cluster = await startCluster({ hosts: 2 });
  t.teardown(() => cluster.down());
  await cluster.join('h1');
  await cluster.join('h2');
  await cluster.importGuest();
  const make = async (...args: string[]): Promise<void> => {
    const result = await cluster.ostler(['vm', 'create', ...args, '--image', 'guest', '--memory', '128MiB']);
    if (result.code !== 0) throw new Error(result.stderr);
  };
  await make('web1', '--host', 'h1', '--display-name', '웹 서버', '--label', 'tier=front');
  await make('web2', '--host', 'h2', '--no-start');
  await make('web3', '--host', 'h2', '--description', 'third');
  const before = await cluster.json<VmJson[]>(['vm', 'list']);
  t.equal(before.length, 3);
  const images = async (): Promise<unknown[]> =>
    (await cluster.json<Record<string, unknown>[]>(['image', 'list'])).map((image) => ({ ...image, etag: '' }));
  const imagesBefore = await images();
  t.equal(imagesBefore.length, 2);

  await cluster.controller.stop();
  await rename(join(cluster.directory, 'controller/store'), join(cluster.directory, 'lost-store'));
  await cluster.controller.start();
  await eventually('both hosts', 30, async () => {
    const result = await cluster.ostler(['controller', 'rebuild', '--yes', '-o', 'json']);
    if (result.code !== 0) throw new Error(result.stderr);
    const vms = await cluster.json<VmJson[]>(['vm', 'list']);
    if (vms.length < 3) throw new Error(`${vms.length} VMs: ${result.stdout}`);
  });

  const plain = (vm: VmJson): unknown => {
    const { id, uuid, name, displayName, state, spec, epoch } = vm;
    return { id, uuid, name, displayName, state, epoch, disks: spec.disks, nics: spec.nics };
  };
  const after = await cluster.json<VmJson[]>(['vm', 'list']);
  t.same(after.map(plain), before.map(plain));
  t.same(await images(), imagesBefore, 'images come back from their folder');
  t.equal((await cluster.ostler(['controller', 'rebuild', '--yes'])).code, 0, 'a second time is harmless');
  t.same((await cluster.json<VmJson[]>(['vm', 'list'])).map(plain), before.map(plain));
  // The records are of use: a restored VM can be stopped, started and removed.
  for (const args of [
    ['stop', 'web3', '--force', '--yes'],
    ['start', 'web3'],
    ['vm', 'delete', 'web3', '--expunge', '--force', '--yes'],
  ]) {
    const result = await cluster.ostler(args);
    t.equal(result.code, 0, `${args.join(' ')} ${result.stderr}`);
  }
});
