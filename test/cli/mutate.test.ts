import t from 'tap';
import { ostler as wire } from '../../proto/gen/ostler.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { fill } from './fixtures.js';
import { startFake, type Fake } from './fake-server.js';
import { ostler } from './harness.js';

async function filled(t: { teardown(undo: () => Promise<void>): void }): Promise<Fake> {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  return fake;
}

void t.test('a mutation waits, one line for each change when stderr is no terminal', async (t) => {
  const fake = await filled(t);
  fake.script.details = ['placing', 'cloning the root disk', 'cloning the root disk', 'starting'];
  const { code, stdout, stderr } = await ostler(fake, ['start', 'db1']); // C-122
  t.equal(code, 0);
  t.equal(stdout, 'db1 is running on h1 (4.2s)\n');
  t.equal(stderr, 'db1: waiting\ndb1: placing\ndb1: cloning the root disk\ndb1: starting\n');

  t.notMatch(stderr, /[\u001b\r]/);
  const wait = fake.requestOf('waitOperation') as wire.v1.WaitOperationRequest;
  t.equal(wait.untilChange, true);
  t.equal(wait.afterDetail, 'starting', 'it asks for what comes after what it knows');
});

void t.test('--quiet says nothing, json prints the operation, name prints the target', async (t) => {
  const fake = await filled(t);
  fake.script.details = ['placing'];
  t.same(await ostler(fake, ['start', 'db1', '-q']), { code: 0, stdout: '', stderr: '' });
  const json = await ostler(fake, ['start', 'db1', '-o', 'json']);
  t.match(JSON.parse(json.stdout), { state: 'SUCCEEDED', targetName: 'db1', endTime: '2026-11-21T12:00:00.000Z' });
  t.equal((await ostler(fake, ['start', 'db1', '-o', 'name'])).stdout, 'db1\n');
});

void t.test('--no-wait prints the id, and op wait takes it up', async (t) => {
  const fake = await filled(t);
  const started = await ostler(fake, ['start', 'db1', '--no-wait']);
  t.equal(started.code, 0);
  t.match(started.stdout, /^op-[0-9]{10}\n$/);
  t.notOk(fake.requests.some((one) => one.method === 'waitOperation'));
  t.equal((await ostler(fake, ['start', 'db1', '--no-wait', '-o', 'name'])).stdout.slice(0, 3), 'op-');
  const waited = await ostler(fake, ['op', 'wait', started.stdout.trim()]);
  t.equal(waited.code, 0);
  t.match(waited.stdout, /db1 is done: vm\.start/);
});

void t.test('a failed operation ends with the exit code of its error', async (t) => {
  const fake = await filled(t);
  fake.script.end = 'fail';
  fake.script.error = new OstlerError('GUEST_TIMEOUT', 'web1 did not shut down within 90 s.', {
    remedy: 'Use --force.',
  });
  const stop = await ostler(fake, ['stop', 'web1']); // C-125
  t.equal(stop.code, 1);
  t.match(stop.stderr, /web1 did not shut down within 90 s\. \[GUEST_TIMEOUT\]\n {2}next: Use --force\./);
  t.equal(stop.stdout, '');
  fake.script.error = new OstlerError('STORAGE_FULL', 'Full.');
  t.equal((await ostler(fake, ['start', 'db1'])).code, 5);
  t.equal((await ostler(fake, ['op', 'wait', [...fake.operations.keys()].at(-1) ?? ''])).code, 5);
  fake.script.end = 'cancel';
  const cancelled = await ostler(fake, ['start', 'db1']);
  t.equal(cancelled.code, 1);
  t.match(cancelled.stderr, /was cancelled; what it had done is undone\. \[CANCELLED\]/);
});

void t.test('a wait that times out says that the work goes on: 7', async (t) => {
  const fake = await filled(t);
  fake.script.end = 'never';
  const began = performance.now();
  const { code, stdout, stderr } = await ostler(fake, ['start', 'db1', '--timeout', '300ms']);
  t.equal(code, 7);
  t.ok(performance.now() - began < 5000);
  t.equal(stdout, '');
  t.match(stderr, /The wait timed out; operation (op-\d+) \(vm\.start\) goes on\./);
  t.match(stderr, /ostler op wait op-\d+/);
  t.match(stderr, /ostler op cancel op-\d+/);
});

void t.test('Ctrl-C while waiting says that the work goes on: 130', async (t) => {
  const fake = await filled(t);
  fake.script.end = 'never';
  const { code, stderr } = await ostler(fake, ['start', 'db1'], { interruptAfterMs: 300 });
  t.equal(code, 130);
  t.match(stderr, /Interrupted; operation op-\d+ \(vm\.start\) goes on\./);
});

void t.test('a controller that goes away while we wait is waited for', async (t) => {
  const fake = await filled(t);
  fake.script.details = ['one', 'two', 'three'];
  // As soon as the wait has begun.
  const watch = setInterval(() => {
    if (fake.script.details.length === 3) return;
    clearInterval(watch);
    fake.down = true;
    fake.cut();
    setTimeout(() => (fake.down = false), 700);
  }, 5);
  t.teardown(() => clearInterval(watch));
  const { code, stdout, stderr } = await ostler(fake, ['start', 'db1']);
  t.equal(code, 0, stderr);
  t.match(stdout, /db1 is running/);
  t.match(stderr, /the controller does not answer; the operation goes on when it is back/);
});

void t.test('a call that was lost on the way is repeated with the same request id', async (t) => {
  const fake = await filled(t);
  fake.down = true;
  setTimeout(() => (fake.down = false), 250);
  const { code } = await ostler(fake, ['start', 'db1', '--request-id', 'r-1']);
  t.equal(code, 0);
  t.equal((fake.requestOf('startVm') as wire.v1.StartVmRequest).requestId, 'r-1');
  const made = await ostler(fake, ['start', 'db1']);
  t.equal(made.code, 0);
  t.equal(
    (fake.requestOf('startVm') as wire.v1.StartVmRequest).requestId,
    'request-1',
    'one is made when none is given',
  );
});

void t.test('a percentage alone is not a line of its own in a pipe', async (t) => {
  const fake = await filled(t);
  fake.script.details = Array.from({ length: 100 }, (_, percent) => `fetching image debian: ${percent + 1} %`);
  const { code, stderr } = await ostler(fake, ['start', 'db1']);
  t.equal(code, 0);
  t.ok((stderr.match(/fetching/g) ?? []).length < 10, stderr);
});

void t.test('--dry-run sends validate_only and prints plan, host and reasons', async (t) => {
  const fake = await filled(t);
  const json = await ostler(fake, ['start', 'db1', '--dry-run', '-o', 'json']);
  t.match(JSON.parse(json.stdout), { plan: ['place it on h1', /clone/, /define/, /start/], placement: { host: 'h1' } });
  t.equal((fake.requestOf('startVm') as wire.v1.StartVmRequest).validateOnly, true);
  t.notOk(fake.requests.some((one) => one.method === 'waitOperation'));
  const stop = await ostler(fake, ['vm', 'delete', 'web1', '--expunge', '--dry-run']);
  t.equal(stop.code, 0, 'nothing is lost, so nothing is asked');
  t.equal((fake.requestOf('deleteVm') as wire.v1.DeleteVmRequest).validateOnly, true);
});

void t.test('stop, reboot and delete say what was asked for', async (t) => {
  const fake = await filled(t);
  await ostler(fake, ['stop', 'web1', '--shutdown-timeout', '2m', '--force-after', '--etag', 'e7']); // C-124, C-125, M-016
  t.match(fake.requestOf('stopVm'), {
    vm: 'web1',
    force: false,
    timeoutSeconds: 120,
    onTimeout: wire.v1.TimeoutAction.FORCE_OFF,
    etag: 'e7',
  });
  await ostler(fake, ['stop', 'web1', '--keep-running']);
  t.match(fake.requestOf('stopVm'), { timeoutSeconds: 0, onTimeout: wire.v1.TimeoutAction.KEEP_RUNNING });
  await ostler(fake, ['stop', 'web1', '--force', '--yes']);
  t.match(fake.requestOf('stopVm'), { force: true });
  await ostler(fake, ['reboot', 'web1']); // C-127
  t.match(fake.requestOf('rebootVm'), { vm: 'web1', force: false });
  await ostler(fake, ['vm', 'delete', 'web1', '--expunge', '--force', '--yes']); // M-019, M-020
  t.match(fake.requestOf('deleteVm'), { vm: 'web1', expunge: true, force: true });
  const back = await ostler(fake, ['vm', 'undelete', 'web1']);
  t.match(back.stderr, /web1 is back, stopped/);
});

void t.test('set sends the mask of what was given, and merges labels under the etag', async (t) => {
  const fake = await filled(t);
  const { code, stdout } = await ostler(fake, [
    'vm',
    'set',
    'web1',
    '--display-name',
    '웹',
    '--label',
    'tier=back',
    '--unlabel',
    'env',
  ]);
  t.equal(code, 0);
  t.match(stdout, /web1 is changed: display_name, labels on h1/);
  const request = fake.requestOf('updateVm') as wire.v1.UpdateVmRequest;
  t.same(request.updateMask?.paths, ['display_name', 'labels']); // M-002
  t.same(request.values?.labels, { tier: 'back' });
  t.equal(request.etag, 'e7', 'what changed in between is refused');
  await ostler(fake, ['vm', 'set', 'web1', '--description', '']);
  t.same((fake.requestOf('updateVm') as wire.v1.UpdateVmRequest).updateMask?.paths, ['description']);
  t.equal((fake.requestOf('updateVm') as wire.v1.UpdateVmRequest).etag, '');
});

void t.test('what loses something is never done unasked', async (t) => {
  const fake = await filled(t);
  for (const line of [
    ['delete', 'web1'],
    ['vm', 'delete', 'web1', '--expunge'],
    ['stop', 'web1', '--force'],
    ['reboot', 'web1', '--force'],
    ['image', 'delete', 'debian-12'],
    ['host', 'remove', 'h1'],
    ['token', 'delete', 'ci'],
    ['controller', 'rebuild'],
  ]) {
    const { code, stderr } = await ostler(fake, line, { stdin: 'y\n' });
    t.equal(code, 2, line.join(' '));
    t.match(stderr, /Nobody can answer: this is not a terminal[^]*Add --yes/);
  }
  t.same(fake.requests, [], 'nothing was sent');
});
