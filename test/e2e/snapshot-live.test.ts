import t from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { makeSubject, type Subject } from './snapshot-rig.js';
import type { VmJson } from './vm-view.js';

/** Snapshots of a VM that runs: taken and merged away under a guest that goes on writing. */
const cluster: Cluster = await startCluster();
t.teardown(() => cluster.down());
t.setTimeout(900_000);
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'live', ['--disk', 'name=data1,size=64MiB']);
await vm.booted(1);
await vm.guest('dd if=/dev/zero of=/dev/vdb bs=1M count=2 && echo one > /data/file && sync');

void t.test('taken of a running VM, with the boot disk alone', async (t) => {
  const started = performance.now();
  await vm.snap('create', 'first', '--description', '처음', '--tag', 'kind=test');
  t.comment(`create took ${Math.round(performance.now() - started)} ms`);
  const [first, ...rest] = await vm.list();
  t.equal(rest.length, 0);
  t.match(
    first,
    { name: 'first', description: '처음', state: 'SNAPSHOT_READY', now: true, parent: '', memory: false },
    'V-50, M-092',
  ); // C-129
  t.same(
    first?.disks.map((disk) => disk.name),
    ['root'],
    'C-130: the boot disk is preselected; C-038: disks are listed',
  );
  t.same(first?.tags, { kind: 'test' }, 'M-084');
  t.ok((first?.disks[0]?.deltaBytes ?? 0) > 0, 'V-51: the size of the delta');
  t.equal((await cluster.json<VmJson>(['vm', 'show', 'live'])).state, 'RUNNING', 'C-131, C-019: it runs on');
  t.match((await vm.blocks())['vda'], /live|root\.1\.qcow2$/, 'virsh shows the overlay');
  t.match(await vm.guest('cat /data/file'), 'one');
});

void t.test('a second one of all disks, quiesced', async (t) => {
  await vm.guest('echo two > /data/file; echo -n TWO | dd of=/dev/vdb bs=512 seek=8 conv=notrunc; sync');
  await vm.snap('create', 'second', '--quiesce', '--disk', 'root', '--disk', 'data1');
  const [first, second] = await vm.list();
  t.match(second, { parent: first?.id, quiesced: true, now: true }, 'M-083, M-094: child of the one before');
  t.equal(first?.now, false, 'V-51: where it is now');
  t.same(
    second?.disks.map((disk) => disk.name),
    ['root', 'data1'],
    'C-130',
  );
  await vm.guest('echo three > /data/file; echo -n THREE | dd of=/dev/vdb bs=512 seek=16 conv=notrunc; sync');
  const table = await vm.ok(['snapshot', 'list', 'live']);
  t.match(table, /first\s[\s\S]*└─ second {2}← now/, 'V-51: a tree with the place of now');
  t.equal((await vm.files()).filter((file) => file.endsWith('.qcow2')).length, 5, 'only differences are stored');
});

void t.test('the older one is deleted under the running guest', async (t) => {
  await vm.snap('delete', 'first', '--yes');
  const list = await vm.list();
  t.same(
    list.map((one) => [one.name, one.parent]),
    [['second', '']],
    'V-52, M-095',
  );
  await vm.guest('echo 3 > /proc/sys/vm/drop_caches');
  t.equal(await vm.guest('cat /data/file'), 'three');
  t.same(await vm.damage(), []);
});

void t.test('the newest one is deleted: the guest is put on the file below', async (t) => {
  await vm.snap('delete', 'second', '--yes');
  t.same(await vm.list(), []);
  await vm.guest('echo 3 > /proc/sys/vm/drop_caches');
  t.equal(await vm.guest('cat /data/file'), 'three', 'what the guest wrote since is there');
  t.equal(await vm.guest('dd if=/dev/vdb bs=512 skip=8 count=1 2>/dev/null | head -c 3'), 'TWO');
  t.equal(await vm.guest('dd if=/dev/vdb bs=512 skip=16 count=1 2>/dev/null | head -c 5'), 'THREE');
  const blocks = await vm.blocks();
  t.match(await vm.chain(blocks['vdb'] ?? ''), { length: 1 }, 'V-52: the room is free again');
  t.same(await vm.damage(), []);
  const left = (await vm.files()).filter((file) => file.endsWith('.qcow2'));
  t.equal(left.length, 2, `one file a disk: ${left.join(' ')}`);
});

void t.test('it starts on what it was', async (t) => {
  await vm.guest('echo four > /data/file; sync');
  await vm.ok(['stop', 'live', '--yes', '--force']);
  await vm.ok(['start', 'live']);
  await vm.booted(2);
  t.equal(await vm.guest('cat /data/file'), 'four');
});

void t.test('flattened under the running guest: it stands on no image any more', async (t) => {
  t.match(await vm.chain((await vm.blocks())['vda'] ?? ''), { length: 2 }, 'the image is below at first');
  await vm.snap('create', 'below');
  await vm.guest('echo five > /data/file; sync');
  await vm.snap('flatten', '--disk', 'root');
  t.match(await vm.chain((await vm.blocks())['vda'] ?? ''), { length: 1 });
  await vm.guest('echo 3 > /proc/sys/vm/drop_caches');
  t.equal(await vm.guest('cat /data/file'), 'five');
  t.same((await vm.list()).map((one) => one.name), ['below'], 'the snapshot stays'); // prettier-ignore
  t.same(await vm.damage(), []);
  await vm.snap('delete', 'below', '--yes');
  t.equal((await vm.files()).filter((file) => file.endsWith('.qcow2')).length, 2);
});

void t.test('deleting the VM deletes its snapshots', async (t) => {
  await vm.snap('create', 'last');
  await vm.ok(['vm', 'delete', 'live', '--expunge', '--force', '--yes']);
  t.same(await vm.files(), [], 'M-096');
});
