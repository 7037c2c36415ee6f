import t from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import { makeSubject, settled, type Subject } from './snapshot-rig.js';

/** No room, no libvirt, second thoughts: every snapshot verb under a guest that runs on, on a pool of 220 MiB. */
const cluster: Cluster = await startCluster();
t.teardown(() => cluster.down());
t.setTimeout(900_000);
const POOL = '/var/lib/libvirt/images';
await cluster.lab.exec('h1', ['mkdir', '-p', POOL]);
await cluster.lab.exec('h1', ['mount', '-t', 'tmpfs', '-o', 'size=220M', 'tmpfs', POOL]);
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'full', ['--disk', 'name=data1,size=64MiB']);
await vm.booted(1);

/** Leaves so many KiB free. */
const fill = async (left: number): Promise<void> => {
  const script = `free=$(df -k --output=avail ${POOL} | tail -1); dd if=/dev/zero of=${POOL}/ballast bs=1K count=$((free - ${left})) 2>/dev/null`;
  await cluster.lab.exec('h1', ['sh', '-c', script]);
};
const free = async (): Promise<void> => {
  await cluster.lab.exec('h1', ['rm', '-f', `${POOL}/ballast`]);
};
/** The document may be there and say that there is nothing. */
const disks = async (): Promise<readonly string[]> => (await vm.files()).filter((file) => !file.endsWith('.json'));
const state = async (): Promise<unknown> => [await disks(), await vm.list(), await vm.blocks()];
const write = (value: string, mebibytes: number, at = 0): Promise<string> =>
  vm.guest(
    `tr '\\0' '${value}' < /dev/zero | dd of=/dev/vdb bs=1M seek=${at} count=${mebibytes} iflag=fullblock conv=fsync 2>/dev/null; echo ${value} > /data/v; sync`,
  );
/** How many bytes of the disk's start are that character. */
const reads = async (value: string, mebibytes: number, at = 0): Promise<boolean> =>
  (await vm.guest(
    `echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=1M skip=${at} count=${mebibytes} 2>/dev/null | tr -d '${value}' | wc -c`,
  )) === '0';

void t.test('no room for an overlay, none for the memory', async (t) => {
  const before = await state();
  await fill(40);
  const plain = await cluster.ostler(['snapshot', 'create', 'full', 'a', '--disk', 'root', '--disk', 'data1']);
  t.equal(plain.code, 5, plain.stderr);
  t.match(plain.stderr, /No room/);
  await free();
  await fill(4096);
  const memory = await cluster.ostler(['snapshot', 'create', 'full', 'b', '--memory']);
  t.not(memory.code, 0, memory.stderr);
  await free();
  t.same(await state(), before, 'everything is as it was');
  t.equal(await vm.guest('echo alive'), 'alive', 'and the guest runs on');
});

void t.test('no room to go back: nothing has changed, the guest was not even stopped', async (t) => {
  await vm.guest('echo then > /tmp/ram');
  await vm.snap('create', 'ram', '--memory');
  await vm.guest('echo now > /tmp/ram');
  const before = await state();
  await fill(40);
  const failed = await cluster.ostler(['snapshot', 'revert', 'full', 'ram', '--yes']);
  t.equal(failed.code, 5, failed.stderr);
  t.match(failed.stderr, /No room/);
  t.equal(await vm.guest('cat /tmp/ram'), 'now', 'the guest runs on');
  t.same(await state(), before);
  await free();
  await vm.snap('revert', 'ram', '--yes');
  await vm.agent();
  t.equal(await vm.guest('cat /tmp/ram'), 'then', 'with room it goes back');
});

void t.test('libvirtd dies in the middle of going back to a memory', async (t) => {
  for (const ms of [60, 250, 600]) {
    await vm.guest('echo now > /tmp/ram; sync');
    await vm.ok(['snapshot', 'revert', 'full', 'ram', '--yes', '--no-wait']);
    await new Promise((resolve) => setTimeout(resolve, ms));
    await cluster.lab.libvirtd('h1', 'kill');
    await cluster.lab.libvirtd('h1', 'start');
    const operations = await settled(cluster, 180);
    const last = operations.find((one) => one.kind === 'snapshot.revert');
    t.comment(`killed after ${ms} ms: it ended as ${last?.state ?? '?'}`);
    t.same((await vm.list()).map((one) => [one.name, one.state]), [['ram', 'SNAPSHOT_READY']], 'it can be gone back to'); // prettier-ignore
    await eventually('the host', 60, () => vm.snap('revert', 'ram', '--yes'), 1000);
    await vm.agent();
    t.equal(await vm.guest('cat /tmp/ram'), 'then', 'the memory of that moment');
    t.same(await vm.damage(), []);
  }
  await vm.snap('delete', 'ram', '--yes');
  t.equal((await disks()).filter((file) => file.endsWith('.qcow2')).length, 2, 'nothing is orphaned');
});

void t.test('libvirtd dies in the middle of taking one', async (t) => {
  for (const ms of [20, 60, 120]) {
    await vm.ok(['snapshot', 'create', 'full', 'quick', '--disk', 'root', '--disk', 'data1', '--no-wait']);
    await new Promise((resolve) => setTimeout(resolve, ms));
    await cluster.lab.libvirtd('h1', 'kill');
    await cluster.lab.libvirtd('h1', 'start');
    const operations = await settled(cluster, 180);
    const last = operations.find((one) => one.kind === 'snapshot.create');
    t.comment(`killed after ${ms} ms: it ended as ${last?.state ?? '?'}`);
    await eventually('libvirt', 30, () => vm.blocks());
    const left = await vm.list();
    t.equal(left.length, last?.state.endsWith('SUCCEEDED') === true ? 1 : 0, 'the list says what the operation said');
    t.equal(await vm.guest('echo alive > /data/v; sync; cat /data/v'), 'alive', 'the guest runs on');
    for (const one of left) await eventually('the host', 60, () => vm.snap('delete', one.id, '--yes'), 1000);
    t.equal((await disks()).filter((file) => file.endsWith('.qcow2')).length, 2, 'nothing is orphaned');
    t.same(await vm.damage(), []);
  }
});

void t.test('no room to merge: the deletion is finished when there is some', async (t) => {
  // The smaller file is written into the larger one: where that has nothing yet, so that it needs room.
  await write('w', 36);
  await vm.snap('create', 'low', '--disk', 'data1');
  await write('x', 24, 38);
  await fill(8192);
  const failed = await cluster.ostler(['snapshot', 'delete', 'full', 'low', '--yes']);
  t.not(failed.code, 0);
  t.match(failed.stderr, /next:/, 'it says what to do');
  t.same(
    (await vm.list()).map((one) => one.state),
    ['SNAPSHOT_DELETING'],
  );
  t.ok((await reads('w', 36)) && (await reads('x', 24, 38)), 'the guest has all it wrote');
  const revert = await cluster.ostler(['snapshot', 'revert', 'full', 'low', '--yes']);
  t.equal(revert.code, 4, 'nobody goes back to a mixture');
  await free();
  await vm.snap('delete', 'low', '--yes');
  t.same(await vm.list(), []);
  t.ok((await reads('w', 36)) && (await reads('x', 24, 38)));
  t.same(await vm.damage(), []);
});

void t.test('libvirtd dies in the middle of a merge and of saving memory', async (t) => {
  await vm.snap('create', 'low', '--disk', 'data1');
  await write('y', 40);
  await vm.ok(['snapshot', 'delete', 'full', 'low', '--yes', '--no-wait']);
  await eventually('the merge to begin', 30, async () => {
    const [low] = await vm.list();
    if (low !== undefined && low.state !== 'SNAPSHOT_DELETING') throw new Error(low.state);
  });
  await cluster.lab.libvirtd('h1', 'kill');
  await cluster.lab.libvirtd('h1', 'start');
  await settled(cluster, 120);
  await eventually('libvirt', 30, () => vm.blocks());
  const rest = (await vm.list()).length;
  if (rest > 0) await vm.snap('delete', 'low', '--yes');
  t.same(await vm.list(), []);
  t.ok(await reads('y', 40), 'nothing is lost');
  await vm.ok(['snapshot', 'create', 'full', 'ram', '--memory', '--no-wait']);
  await new Promise((resolve) => setTimeout(resolve, 400));
  await cluster.lab.libvirtd('h1', 'kill');
  await cluster.lab.libvirtd('h1', 'start');
  const operations = await settled(cluster, 180);
  const create = operations.find((one) => one.kind === 'snapshot.create');
  t.comment(`the snapshot with memory ended as ${create?.state ?? '?'}`);
  const left = await vm.list();
  t.equal(left.length, create?.state === 'SUCCEEDED' ? 1 : 0, 'the list says what the operation said');
  await vm.agent();
  t.ok(await reads('y', 40), 'and the guest runs on');
  for (const one of left) await vm.snap('delete', one.id, '--yes');
  t.same((await vm.files()).filter((file) => /qcow2|save/.test(file)).length, 2, (await vm.files()).join(' '));
  t.same(await vm.damage(), []);
});

void t.test('a deletion that is cancelled goes on when it is asked for again', async (t) => {
  await vm.snap('create', 'low', '--disk', 'data1');
  await write('z', 48);
  const id = (await vm.ok(['snapshot', 'delete', 'full', 'low', '--yes', '--no-wait'])).trim();
  const cancelled = await cluster.ostler(['op', 'cancel', id]);
  await settled(cluster, 60);
  const [op] = (await settled(cluster)).filter((one) => one.id === id);
  t.comment(`cancel: ${cancelled.code}; the operation ended as ${op?.state ?? '?'}`);
  t.ok(await reads('z', 48), 'whatever it came to, nothing is lost');
  if ((await vm.list()).length > 0) await vm.snap('delete', 'low', '--yes');
  t.ok(await reads('z', 48));
  t.same(await vm.list(), []);
  t.same(await vm.damage(), []);
});
