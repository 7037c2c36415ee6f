import t from 'tap';
import { eventually } from './eventually.js';
import { lifecycleRig } from './lifecycle-rig.js';

/** Why a VM stopped, told from events on real QEMU: each way to end, its state_reason and its event. */
const rig = await lifecycleRig();
t.teardown(() => rig.down());
const { ok, virsh, inGuest } = rig;
const vm = await rig.boot('web1', '');
/** How often the guest has said that it is up: not every start lives that long. */
const life = { ups: 1 };

const start = (): Promise<unknown> => ok('start', 'web1');
/** A guest that has just come up; only the ends that it brings about itself need one. */
const boot = async (): Promise<void> => {
  await start();
  await rig.up(vm.id, ++life.ups);
};
const signal = async (name: string): Promise<void> => {
  const found = await rig.cluster.lab.exec('h1', ['pgrep', '-f', `guest=${vm.id}`]);
  await rig.cluster.lab.exec('h1', ['kill', `-${name}`, found.stdout.trim().split('\n')[0] ?? '']);
};

async function ends(t: Test, cause: string, reason: RegExp): Promise<void> {
  const stopped = await rig.state('web1', 'STOPPED');
  t.match(stopped.stateReason, reason, `state_reason of ${cause}`);
  const event = await rig.event(vm.id, 'domain.stopped');
  t.equal(event.metadata?.['cause'], cause, event.message);
}
type Test = Pick<typeof t, 'match' | 'equal'>;

void t.test('the guest powers itself off', async (t) => {
  await inGuest(vm.id, 'sync; poweroff -f');
  await ends(t, 'guest-shutdown', /^the guest shut itself down/);
});

void t.test(
  'the host ends QEMU (SIGTERM): not the guest’s doing, although libvirt’s final reason is the same',
  async (t) => {
    await start();
    await signal('TERM');
    await ends(t, 'host-shutdown', /^its host ended it/);
    t.match(await virsh('domstate', vm.id, '--reason'), /shut off \(shutdown\)/);
  },
);

void t.test('QEMU is killed', async (t) => {
  await start();
  await signal('KILL');
  await ends(t, 'qemu-crash', /QEMU ended unexpectedly/);
});

void t.test('somebody else destroys it', async (t) => {
  await start();
  await virsh('destroy', vm.id);
  await ends(t, 'destroyed', /powered off outside of Ostler/);
});

void t.test('it is stopped by force through the API', async (t) => {
  await start();
  await ok('stop', 'web1', '--force', '--yes');
  await ends(t, 'requested-destroy', /powered off as asked/);
});

void t.test('the guest restarts by itself, and is restarted through the API', async (t) => {
  await boot();
  await inGuest(vm.id, 'sync; reboot -f');
  await rig.up(vm.id, ++life.ups);
  t.equal((await rig.event(vm.id, 'domain.rebooted')).metadata?.['cause'], 'guest-reboot');
  t.equal((await rig.show('web1')).state, 'RUNNING', 'a restart is no exit');
  await ok('reboot', 'web1', '--yes');
  await rig.up(vm.id, ++life.ups);
  t.equal((await rig.event(vm.id, 'domain.rebooted')).metadata?.['cause'], 'requested-reboot');
});

void t.test('it is stopped through the API', async (t) => {
  await ok('stop', 'web1', '--yes');
  await ends(t, 'requested-shutdown', /shut down as asked/);
});

void t.test('the guest’s kernel panics (pvpanic)', async (t) => {
  await boot();
  await inGuest(vm.id, 'echo c >/proc/sysrq-trigger');
  await ends(t, 'guest-crash', /kernel panicked/);
  t.match((await rig.event(vm.id, 'domain.crashed')).metadata, { event: 'crashed', detail: 'panicked' });
});

void t.test('what nobody saw is not made up', async (t) => {
  await start();
  await rig.cluster.lab.libvirtd('h1', 'kill');
  await signal('TERM');
  await eventually('the end of QEMU', 20, async () => {
    const { stdout } = await rig.cluster.lab.exec('h1', ['ps', '-eo', 'args']);
    if (stdout.includes(`guest=${vm.id}`)) throw new Error('QEMU is there');
  });
  await rig.cluster.lab.libvirtd('h1', 'start');
  await ends(t, 'unknown', /nobody was watching/);
  t.comment(await virsh('domstate', vm.id, '--reason'));
});
