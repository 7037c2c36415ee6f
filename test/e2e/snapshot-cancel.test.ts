import t, { type Test } from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import { makeSubject, settled, type Subject } from './snapshot-rig.js';

/** Given up in the middle, by a person and by the clock, under a guest that runs on: nothing is lost, and it can be done again. */
const WAIT_SECONDS = 1;
const cluster: Cluster = await startCluster({ controllerConfig: { snapshotWaitSeconds: WAIT_SECONDS } });
t.teardown(() => cluster.down());
t.setTimeout(900_000);
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'fickle', [...['--disk', 'name=data1,size=512MiB', '--memory', '2GiB']]);
await vm.booted(1);

const MIB = 160;
const write = (letter: string, at: number): Promise<string> =>
  vm.guest(
    `tr '\\0' '${letter}' < /dev/zero | dd of=/dev/vdb bs=1M seek=${at} count=${MIB} iflag=fullblock conv=fsync,notrunc 2>/dev/null`,
  );
/** Whether the disk has that letter there, and nothing else. */
const reads = async (letter: string, at: number): Promise<boolean> =>
  (await vm.guest(
    `echo 3 > /proc/sys/vm/drop_caches; dd if=/dev/vdb bs=1M skip=${at} count=${MIB} 2>/dev/null | tr -d '${letter}' | wc -c`,
  )) === '0';

/** Runs a verb, slows its block job down as soon as it is there, and cancels the operation. */
async function cancelled(t: Test, args: readonly string[]): Promise<void> {
  const slow = `for i in $(seq 2000); do virsh -q blockjob ${vm.id} vdb --bytes --bandwidth 1048576 2>/dev/null && exit 0; done; exit 1`;
  const slowed = cluster.lab.exec('h1', ['sh', '-c', slow]);
  const op = (await vm.ok([...args, '--no-wait'])).trim();
  await slowed;
  const job = (await cluster.lab.exec('h1', ['virsh', 'blockjob', vm.id, 'vdb', '--info'])).stdout;
  t.match(job, /\d+ %|:/, `it is at work: ${job.trim()}`);
  t.equal((await cluster.ostler(['op', 'cancel', op])).code, 0);
  const ended = (await settled(cluster)).find((one) => one.id === op);
  t.equal(ended?.state, 'CANCELLED', args.join(' '));
  const left = (await cluster.lab.exec('h1', ['sh', '-c', `virsh blockjob ${vm.id} vdb --info 2>&1`])).stdout;
  t.match(left, /No current block job/, 'the job is gone');
}

void t.test('the newest one: its merge ends in a pivot', async (t) => {
  await write('a', 0);
  await vm.snap('create', 'one', '--disk', 'data1');
  await write('b', MIB);
  await cancelled(t, ['snapshot', 'delete', 'fickle', 'one', '--yes']);
  t.same((await vm.list()).map((one) => [one.name, one.state]), [['one', 'SNAPSHOT_DELETING']], 'it is still listed'); // prettier-ignore
  t.match(await vm.chain((await vm.blocks())['vdb'] ?? ''), { length: 2 });
  t.ok((await reads('a', 0)) && (await reads('b', MIB)), 'the guest has all it wrote');
  t.same(await vm.damage(), []);
  await vm.snap('delete', 'one', '--yes');
  t.same(await vm.list(), [], 'and goes when it is asked for again');
  t.ok((await reads('a', 0)) && (await reads('b', MIB)));
});

void t.test('an older one: its merge is in the middle of the chain', async (t) => {
  await vm.snap('create', 'low', '--disk', 'data1');
  await write('c', MIB);
  await vm.snap('create', 'high', '--disk', 'data1');
  await cancelled(t, ['snapshot', 'delete', 'fickle', 'low', '--yes']);
  t.same(
    (await vm.list()).map((one) => [one.name, one.state]),
    [
      ['low', 'SNAPSHOT_DELETING'],
      ['high', 'SNAPSHOT_READY'],
    ],
  );
  t.ok((await reads('a', 0)) && (await reads('c', MIB)));
  await vm.snap('delete', 'low', '--yes');
  await vm.snap('delete', 'high', '--yes');
  t.ok((await reads('a', 0)) && (await reads('c', MIB)));
  t.match(await vm.chain((await vm.blocks())['vdb'] ?? ''), { length: 1 });
  t.same(await vm.damage(), []);
});

void t.test('flattening', async (t) => {
  await vm.snap('create', 'base', '--disk', 'data1');
  await cancelled(t, ['snapshot', 'flatten', 'fickle', '--disk', 'data1']);
  t.match(await vm.chain((await vm.blocks())['vdb'] ?? ''), { length: 2 }, 'it stands on what it stood on');
  t.ok((await reads('a', 0)) && (await reads('c', MIB)));
  await vm.snap('flatten', '--disk', 'data1');
  t.match(await vm.chain((await vm.blocks())['vdb'] ?? ''), { length: 1 });
  await vm.snap('delete', 'base', '--yes');
  t.ok((await reads('a', 0)) && (await reads('c', MIB)));
  t.same(await vm.damage(), []);
});

void t.test('M-090: one that takes longer than it may is taken back', async (t) => {
  await vm.guest('mkdir -p /fill && mount -t tmpfs -o size=1000m tmpfs /fill; echo kept > /fill/y');
  for (const part of [1, 2, 3, 4])
    await vm.guest(`tr '\\0' 'm' < /dev/zero | dd of=/fill/x${part} bs=1M count=200 iflag=fullblock 2>/dev/null`);
  const before = [await vm.files(), await vm.list(), await vm.blocks()];
  const failed = await cluster.ostler(['snapshot', 'create', 'fickle', 'ram', '--memory']);
  t.not(failed.code, 0);
  t.match(
    failed.stderr,
    new RegExp(`within ${WAIT_SECONDS} s[\\s\\S]*next:`),
    'it says how long it may take, and what to do',
  );
  await eventually('libvirt to be done', 30, () => vm.blocks());
  t.same([await vm.files(), await vm.list(), await vm.blocks()], before, 'everything is as it was');
  t.equal(await vm.guest('cat /fill/y'), 'kept', 'and the guest runs on');
  await vm.guest('rm /fill/x*');
  await vm.snap('create', 'plain', '--disk', 'data1');
  t.same((await vm.list()).map((one) => one.name), ['plain'], 'M-091: the next one is not held up'); // prettier-ignore
});
