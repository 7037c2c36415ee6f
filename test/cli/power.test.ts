import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import type { ostler as wire } from '../../proto/gen/ostler.js';
import { fill } from './fixtures.js';
import { startFake, type Fake } from './fake-server.js';
import { ostler, temporaryDirectory } from './harness.js';

async function filled(t: { teardown(undo: () => Promise<void>): void }): Promise<Fake> {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  return fake;
}

void t.test('pause, resume, suspend, nmi, reset and rebuild-disk say what was asked for', async (t) => {
  const fake = await filled(t);
  const verbs = [
    ['pause', 'pauseVm', /web1 is paused/],
    ['resume', 'resumeVm', /web1 runs again/],
    ['suspend', 'suspendVm', /web1 is suspended/],
    ['nmi', 'sendNmi', /web1 was sent an interrupt/],
  ] as const;
  for (const [verb, method, done] of verbs) {
    const { code, stdout, stderr } = await ostler(fake, ['vm', verb, 'web1', '--etag', 'e7']);
    t.equal(code, 0, stderr);
    t.match(stdout, done);
    t.match(fake.requestOf(method), { vm: 'web1', etag: 'e7' });
  }
  await ostler(fake, ['vm', 'reset', 'web1', '--yes']);
  t.match(fake.requestOf('rebootVm'), { vm: 'web1', force: true });
  await ostler(fake, ['vm', 'rebuild-disk', 'web1', '--image', 'debian-12', '--yes']); // M-036
  t.match(fake.requestOf('rebuildVm'), { vm: 'web1', image: 'debian-12' });
  await ostler(fake, ['vm', 'rebuild-disk', 'web1', '--yes']); // M-037
  t.match(fake.requestOf('rebuildVm'), { vm: 'web1', image: '' });
});

void t.test('what loses something is never done unasked', async (t) => {
  const fake = await filled(t);
  for (const verb of ['reset', 'rebuild-disk']) {
    const { code, stderr } = await ostler(fake, ['vm', verb, 'web1'], { stdin: 'y\n' });
    t.equal(code, 2, verb);
    t.match(stderr, /--yes/);
  }
});

void t.test('a screenshot goes into a file that is not there, or to standard output', async (t) => {
  const fake = await filled(t);
  const file = join(temporaryDirectory(t), 'web1.png');
  t.equal((await ostler(fake, ['vm', 'screenshot', 'web1', '--file', file])).code, 0);
  const first = readFileSync(file);
  t.match((await ostler(fake, ['vm', 'screenshot', 'web1', '--file', file])).stderr, /exists.*--overwrite/s);
  t.same(readFileSync(file), first);
  t.equal((await ostler(fake, ['vm', 'screenshot', 'web1', '--file', file, '--overwrite'])).code, 0);
  t.match((await ostler(fake, ['vm', 'screenshot', 'web1', '--file', '-'])).stdout, /PNG/);
});

void t.test('switches: at creation, and changed by a mask of their own', async (t) => {
  const fake = await filled(t);
  await ostler(fake, ['vm', 'set', 'web1', '--delete-protection', 'off', '--autostart', 'on']);
  const request = fake.requestOf('updateVm') as wire.v1.UpdateVmRequest;
  t.same([...(request.updateMask?.paths ?? [])].sort(), ['spec.autostart', 'spec.delete_protection']);
  t.match(request.values?.spec, { autostart: true, deleteProtection: false });
  t.equal((await ostler(fake, ['vm', 'set', 'web1', '--autostart', 'maybe'])).code, 2);
  const flags = ['--tpm', '--delete-protection', '--reset-root', '--firmware', 'uefi'];
  await ostler(fake, ['vm', 'create', 'new1', '--image', 'debian-12', '--memory', '1GiB', ...flags]);
  t.match((fake.requestOf('createVm') as wire.v1.CreateVmRequest).spec, {
    tpm: true,
    deleteProtection: true,
    resetRootAtReboot: true,
  });
});
