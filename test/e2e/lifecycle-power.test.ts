import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { lifecycleRig } from './lifecycle-rig.js';
import { serialMatch, serialText } from './serial.js';

/** Pause, resume, suspend to disk, NMI, reset and screenshot on real QEMU: the guest itself tells. */
const rig = await lifecycleRig();
t.teardown(() => rig.down());
const { ok, show, refusal, virsh, ticks, ticksBeyond } = rig;
const vm = await rig.boot('web1', 'tick=1');

void t.test('a paused guest stands still and goes on where it was', async (t) => {
  await ticksBeyond(vm.id, 1);
  await ok('vm', 'pause', 'web1');
  t.equal((await show('web1')).state, 'PAUSED');
  t.equal(await virsh('domstate', vm.id, '--reason'), 'paused (user)');
  const at = await ticks(vm.id);
  t.match(await refusal('vm', 'pause', 'web1'), /^4: .*paused already/s);
  t.match(await refusal('start', 'web1'), /^4: .*ostler vm resume/s, 'C-016');
  t.match(await refusal('reboot', 'web1', '--yes'), /^4: .*ostler vm resume/s, 'C-018');
  t.match(
    await refusal('stop', 'web1', '--yes'),
    /^4: .*cannot shut down.*--force/s,
    'C-017: a paused guest hears nothing',
  );
  t.equal(await ticks(vm.id), at, 'the refusals took seconds, in which the guest did not tick');
  await ok('vm', 'resume', 'web1');
  t.equal((await show('web1')).state, 'RUNNING');
  await ticksBeyond(vm.id, at);
});

void t.test('somebody else pauses it: shown with the reason', async (t) => {
  await virsh('suspend', vm.id);
  const seen = await rig.state('web1', 'PAUSED');
  t.match(seen.stateReason, /outside of Ostler/);
  await ok('vm', 'resume', 'web1');
});

void t.test('a screenshot is a PNG of the screen', async (t) => {
  const file = join(rig.cluster.directory, 'web1.png');
  await ok('vm', 'screenshot', 'web1', '--file', file);
  const png = await readFile(file);
  t.equal(png.toString('latin1', 1, 4), 'PNG');
  t.ok(png.readUInt32BE(16) >= 640 && png.readUInt32BE(20) >= 400, 'as large as a screen');
  t.match(await refusal('vm', 'screenshot', 'web1', '--file', file), /exists.*--overwrite/s);
});

void t.test('an NMI reaches the guest’s kernel', async (t) => {
  await ok('vm', 'nmi', 'web1');
  await serialMatch(rig.cluster, { host: 'h1', vmId: vm.id, pattern: /NMI received for unknown reason/ });
  t.equal((await show('web1')).state, 'RUNNING');
});

void t.test('suspend to disk: no QEMU is left, and the guest goes on where it was', async (t) => {
  const at = await ticksBeyond(vm.id, 0);
  await ok('vm', 'suspend', 'web1');
  const suspended = await show('web1');
  t.equal(suspended.state, 'SUSPENDED');
  t.notMatch((await rig.cluster.lab.exec('h1', ['ps', '-eo', 'args'])).stdout, `guest=${vm.id}`, 'no process');
  t.match(await refusal('start', 'web1'), /^4: .*ostler vm resume/s);
  t.match(await refusal('vm', 'rebuild-disk', 'web1', '--yes'), /^4: .*saved memory/s);
  t.match(await refusal('vm', 'set', 'web1', '--memory', '256MiB'), /^4: .*saved memory.*ostler vm resume/s);
  t.match(await refusal('snapshot', 'create', 'web1', 'asleep'), /^4: .*suspended/s);
  t.match(await refusal('stop', 'web1', '--yes'), /^4: .*--force/s, 'its memory is not dropped by the way');
  // libvirt forgets why a domain is off; the saved memory is still there.
  await rig.cluster.lab.libvirtd('h1', 'stop');
  await rig.cluster.lab.libvirtd('h1', 'start');
  await rig.state('web1', 'SUSPENDED');
  await ok('vm', 'resume', 'web1');
  t.equal((await show('web1')).state, 'RUNNING');
  await ticksBeyond(vm.id, at);
  const text = await serialText(rig.cluster, 'h1', vm.id);
  t.equal(text.match(/EVENT up /g)?.length, 1, 'it did not boot again');
});

void t.test('the saved memory of a suspended VM is dropped only by force', async (t) => {
  await ok('vm', 'suspend', 'web1');
  await ok('stop', 'web1', '--force', '--yes');
  t.equal((await show('web1')).state, 'STOPPED');
  t.notMatch(await virsh('list', '--all', '--with-managed-save'), vm.id, 'the file is gone');
});

void t.test('reset: the machine starts over at once', async (t) => {
  await ok('start', 'web1');
  await ok('vm', 'reset', 'web1', '--yes');
  await rig.up(vm.id, 2);
  t.equal((await show('web1')).state, 'RUNNING');
  t.match(await rig.event(vm.id, 'domain.rebooted'), { metadata: { cause: 'requested-reboot' } });
});
