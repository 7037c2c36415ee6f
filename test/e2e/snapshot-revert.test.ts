import t, { type Test } from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { makeSubject, type Subject } from './snapshot-rig.js';
import type { VmJson } from './vm-view.js';

/** Going back: a tree of snapshots, the memory of a guest, and everything that is refused. */
const cluster: Cluster = await startCluster({ controllerConfig: { maxSnapshotsPerVm: 4 } });
t.teardown(() => cluster.down());
t.setTimeout(900_000);
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'back', ['--disk', 'name=data1,size=64MiB']);
await vm.booted(1);

/** The command is refused with that exit code, and nothing has changed. */
async function refused(t: Test, args: readonly string[], code: number, pattern: RegExp, row: string): Promise<void> {
  const before = [await vm.files(), await vm.list(), await vm.blocks()];
  const result = await cluster.ostler(args);
  t.equal(result.code, code, `${row}: exit code, ${result.stderr}`);
  t.match(result.stderr, pattern, row);
  t.same([await vm.files(), await vm.list(), await vm.blocks()], before, `${row}: nothing changed`);
}

void t.test('with memory: the guest goes on from that very moment', async (t) => {
  await vm.guest('echo kept-in-ram > /tmp/ram; echo before > /data/file; sync; echo unsynced > /data/dirty');
  const uptime = Number((await vm.guest('cat /proc/uptime')).split(' ')[0]);
  await vm.snap('create', 'ram', '--memory');
  const [ram] = await vm.list();
  t.match(ram, { memory: true, now: true }, 'V-50, M-081');
  t.ok((ram?.memoryBytes ?? 0) > 1_000_000, 'the memory has a size');
  t.same(
    ram?.disks.map((disk) => disk.name),
    ['root', 'data1'],
    'M-081: memory takes all disks',
  );
  await vm.guest('rm /tmp/ram /data/dirty; echo after > /data/file; sync');
  await vm.snap('revert', 'ram', '--yes');
  t.equal((await cluster.json<VmJson>(['vm', 'show', 'back'])).state, 'RUNNING', 'V-50: it runs on at once');
  await vm.agent();
  t.equal(await vm.guest('cat /tmp/ram'), 'kept-in-ram', 'V-50: its memory is back');
  t.equal(
    await vm.guest('cat /data/file /data/dirty | tr "\\n" " "'),
    'before unsynced',
    'the disks of the same moment',
  );
  const now = Number((await vm.guest('cat /proc/uptime')).split(' ')[0]);
  t.ok(now >= uptime && now < uptime + 60, `not booted anew: up ${uptime} s then, ${now} s now`);
  t.match(await vm.ok(['snapshot', 'list', 'back']), /ram {2}← now/, 'V-51');
});

void t.test('what is refused while it runs', async (t) => {
  await vm.snap('create', 'plain');
  await refused(
    t,
    ['snapshot', 'revert', 'back', 'plain', '--yes'],
    4,
    /must be stopped[\s\S]*ostler stop/,
    'C-132, C-039',
  );
  await refused(t, ['snapshot', 'create', 'back', 'plain'], 4, /has a snapshot plain already/, 'a name twice');
  await refused(t, ['snapshot', 'create', 'back', 'x', '--disk', 'nosuch'], 3, /no disk nosuch[\s\S]*root/, 'C-130');
  await refused(t, ['snapshot', 'create', 'back', 'x', '--memory', '--disk', 'root'], 2, /all disks/, 'M-081');
  await refused(t, ['snapshot', 'create', 'back', 'x', '--memory', '--quiesce'], 2, /quiesce/, 'M-094');
  await refused(t, ['snapshot', 'revert', 'back', 'nosuch', '--yes'], 3, /no snapshot "nosuch"/, 'unknown');
  const plan = await vm.ok(['snapshot', 'create', 'back', 'dry', '--memory', '--dry-run']);
  t.match(plan, /Take the snapshot dry of all disks and the memory of back/);
  t.equal((await vm.list()).length, 2, 'a dry run changes nothing');
});

void t.test('stopped: a tree, and back to any node of it', async (t) => {
  await vm.guest('echo plain-child > /data/file; sync');
  await vm.ok(['stop', 'back', '--yes', '--force']);
  await refused(
    t,
    ['snapshot', 'create', 'back', 'x', '--memory'],
    4,
    /no memory to save/,
    'M-093: RAM of a stopped VM',
  );
  await refused(t, ['snapshot', 'create', 'back', 'x', '--quiesce'], 4, /no guest to be quiesced/, 'M-094');
  await vm.snap('create', 'leaf');
  await vm.snap('revert', 'plain', '--yes');
  const after = await vm.list();
  t.same(
    after.map((one) => one.name),
    ['ram', 'plain', 'leaf'],
    'all snapshots stay',
  );
  t.equal(after.find((one) => one.now)?.name, 'plain', 'V-51');
  await vm.snap('create', 'other');
  await vm.snap('rename', 'other', 'branch');
  await vm.snap('set', 'branch', '--description', 'the other way', '--tag', 'a=b');
  const tree = await vm.list();
  const id = (name: string): string | undefined => tree.find((one) => one.name === name)?.id;
  t.same(
    tree.map((one) => [one.name, one.parent, one.description]),
    [
      ['ram', '', ''],
      ['plain', id('ram'), ''],
      ['leaf', id('plain'), ''],
      ['branch', id('plain'), 'the other way'],
    ],
    'C-133, M-083: two branches from one node',
  );
  await vm.ok(['start', 'back']);
  await vm.booted(2);
  t.equal(await vm.guest('cat /data/file'), 'before', 'V-52: what came after the snapshot is gone');
  await vm.guest('echo on-branch > /data/file; sync');
  await vm.ok(['stop', 'back', '--yes', '--force']);
});

void t.test('a node with two branches is deleted and both stay whole', async (t) => {
  await vm.snap('delete', 'plain', '--yes');
  const list = await vm.list();
  t.same(
    list.map((one) => one.name),
    ['ram', 'leaf', 'branch'],
  );
  await vm.snap('revert', 'leaf', '--yes');
  t.same(await vm.damage(), []);
  await vm.ok(['start', 'back']);
  await vm.booted(3);
  t.equal(await vm.guest('cat /data/file'), 'plain-child', 'the other branch has its own content');
  await vm.snap('revert', 'ram', '--yes');
  await vm.agent();
  t.equal(await vm.guest('cat /tmp/ram'), 'kept-in-ram', 'and the memory of the root is still good');
});

// M-086
void t.test('memory goes back into the size that it was saved from, and is not removed for another one', async (t) => {
  await vm.ok(['stop', 'back', '--yes', '--force']);
  await vm.ok(['vm', 'set', 'back', '--memory', '160MiB', '--max-memory', '160MiB']);
  const pattern = /belongs to 1[^;]*128 \(at most 128\) MiB[^;]*; the VM has [\s\S]*160[\s\S]*next: Stop the VM/;
  await refused(t, ['snapshot', 'revert', 'back', 'ram', '--yes'], 4, pattern, 'M-086: another size');
  t.equal((await vm.list()).find((one) => one.name === 'ram')?.state, 'SNAPSHOT_READY', 'M-086: it stays');
  await vm.ok(['vm', 'set', 'back', '--memory', '128MiB', '--max-memory', '128MiB']);
  await vm.snap('revert', 'ram', '--yes');
  await vm.agent();
  t.equal(await vm.guest('cat /tmp/ram'), 'kept-in-ram', 'M-086: with the size of then it goes back');
});

void t.test('changes behind our back are seen and not overwritten', async (t) => {
  await vm.ok(['stop', 'back', '--yes', '--force']);
  const { vda = '' } = await vm.blocks();
  const foreign = '/var/lib/libvirt/images/by-hand.qcow2';
  await cluster.lab.exec('h1', ['qemu-img', 'create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', vda, foreign]);
  const edit = `virsh dumpxml --inactive ${vm.id} | sed 's#${vda}#${foreign}#' > /tmp/by-hand.xml && virsh -q define /tmp/by-hand.xml`;
  await cluster.lab.exec('h1', ['sh', '-c', edit]);
  const pattern = /changed from outside[\s\S]*by-hand\.qcow2/;
  await refused(t, ['snapshot', 'create', 'back', 'x'], 4, pattern, 'M-088');
  await refused(t, ['snapshot', 'delete', 'back', 'leaf', '--yes'], 4, pattern, 'M-088');
  await refused(t, ['snapshot', 'revert', 'back', 'leaf', '--yes'], 4, pattern, 'M-088');
  await refused(t, ['start', 'back'], 4, /changed from outside|is not a file of ours/, 'M-088');
  const back = `virsh dumpxml --inactive ${vm.id} | sed 's#${foreign}#${vda}#' > /tmp/by-hand.xml && virsh -q define /tmp/by-hand.xml`;
  await cluster.lab.exec('h1', ['sh', '-c', `${back} && rm ${foreign}`]);
});

void t.test('flatten: the disks stand by themselves', async (t) => {
  await vm.snap('flatten');
  const { vda = '' } = await vm.blocks();
  t.same((await vm.chain(vda)).length, 1, 'no image and no snapshot below');
  t.equal((await vm.list()).length, 3, 'the snapshots stay');
  await vm.snap('revert', 'branch', '--yes');
  for (const name of ['ram', 'leaf', 'branch']) await vm.snap('delete', name, '--yes');
  const left = (await vm.files()).filter((file) => /qcow2|save/.test(file));
  t.equal(left.length, 2, `one file a disk, and no memory: ${left.join(' ')}`);
  t.same(await vm.damage(), []);
  await vm.ok(['start', 'back']);
  await vm.booted(4);
  t.equal(await vm.guest('cat /data/file'), 'before');
});

void t.test('no more than are allowed, and none is removed for it', async (t) => {
  await vm.ok(['stop', 'back', '--yes', '--force']);
  for (let count = 0; count < 4; count += 1) await vm.snap('create', `n${count}`);
  await refused(t, ['snapshot', 'create', 'back', 'n4'], 5, /4 are allowed/, 'M-089');
  t.equal((await vm.list()).length, 4);
});
