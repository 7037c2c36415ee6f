import { chmod, mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import { makeSubject, settled, type Subject } from './snapshot-rig.js';
import { serialMatch } from './serial.js';
import type { OperationJson, VmJson } from './vm-view.js';

/** C-134: a VM from another one's snapshot, made while that one runs on; what it depends on, and what is refused meanwhile. */
const cluster: Cluster = await startCluster();
t.teardown(() => cluster.down());
t.setTimeout(900_000);
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'origin', ['--disk', 'name=data1,size=256MiB']);
await vm.booted(1);

const POOL = '/var/lib/libvirt/images';
const filesOf = async (id: string): Promise<readonly string[]> =>
  (await cluster.poolFiles('h1')).filter((file) => file.includes(id) && /qcow2|tmp/.test(file));
const exec = async (...argv: string[]): Promise<string> => (await cluster.lab.exec('h1', argv)).stdout;
/** What the guest of another VM says to a shell line, by its agent. */
const ask = async (id: string, line: string): Promise<string> => {
  const call = async (command: object): Promise<Record<string, unknown>> =>
    (
      JSON.parse(await exec('virsh', 'qemu-agent-command', id, JSON.stringify(command), '--timeout', '20')) as {
        return: Record<string, unknown>;
      }
    ).return;
  const { pid } = await call({
    execute: 'guest-exec',
    arguments: { path: '/bin/sh', arg: ['-c', line], 'capture-output': true },
  });
  return eventually(`the guest to run ${line}`, 60, async () => {
    const status = await call({ execute: 'guest-exec-status', arguments: { pid } });
    if (status['exited'] !== true) throw new Error('it still runs');
    return Buffer.from((status['out-data'] as string | undefined) ?? '', 'base64')
      .toString()
      .trim();
  });
};

await vm.guest('echo then > /data/file; echo -n THEN | dd of=/dev/vdb bs=512 seek=8 conv=notrunc 2>/dev/null; sync');
await vm.snap('create', 'low', '--disk', 'root', '--disk', 'data1');
await vm.guest('echo -n MORE | dd of=/dev/vdb bs=512 seek=16 conv=notrunc 2>/dev/null; sync');
await vm.snap('create', 'high', '--disk', 'root', '--disk', 'data1');
await vm.guest('echo now > /data/file; echo -n LOST | dd of=/dev/vdb bs=512 seek=16 conv=notrunc 2>/dev/null; sync');

void t.test('the dry run says what it would do, and does nothing', async (t) => {
  const before = await cluster.poolFiles('h1');
  const plan = await vm.ok(['vm', 'create', 'twin', '--from-snapshot', 'origin/high', '--dry-run']);
  t.match(plan, /Copy the disk data1 of 256 MiB from the snapshot high of origin/);
  t.same(await cluster.poolFiles('h1'), before);
});

void t.test('the new VM boots with what the snapshot held', async (t) => {
  await vm.ok(['vm', 'create', 'twin', '--from-snapshot', 'origin/high']);
  const twin = await cluster.json<VmJson & { spec: { nics: { mac: string }[]; memory: { sizeBytes: number } } }>([
    ...['vm', 'show', 'twin'],
  ]);
  const origin = await cluster.json<typeof twin>(['vm', 'show', 'origin']);
  t.not(twin.spec.nics[0]?.mac, origin.spec.nics[0]?.mac, 'a MAC address of its own');
  t.equal(twin.spec.memory.sizeBytes, origin.spec.memory.sizeBytes, 'as large as the other');
  t.equal(origin.state, 'RUNNING', 'the other one runs on');
  await serialMatch(cluster, { host: 'h1', vmId: twin.id, pattern: /EVENT data-mounted/, count: 1, seconds: 120 });
  await eventually('its guest agent', 120, () => ask(twin.id, 'true'), 500);
  t.equal(await ask(twin.id, 'cat /data/file'), 'then', 'C-134: the guest reads the file of that moment');
  t.equal(await ask(twin.id, 'dd if=/dev/vdb bs=512 skip=8 count=1 2>/dev/null | head -c 4'), 'THEN');
  t.equal(await ask(twin.id, 'dd if=/dev/vdb bs=512 skip=16 count=1 2>/dev/null | head -c 4'), 'MORE');
  t.equal(await vm.guest('cat /data/file'), 'now', 'and the other one its own');
  const files = await filesOf(twin.id);
  t.equal(files.length, 2);
  for (const file of files) {
    const info = JSON.parse(await exec('qemu-img', 'info', '-U', '--output=json', `${POOL}/${file}`)) as object;
    t.notOk('backing-filename' in info, `${file} stands by itself`);
  }
  t.same(await vm.damage(), []);
});

void t.test('independent: snapshots of the other go, and so may the other', async (t) => {
  await vm.snap('delete', 'low', '--yes');
  const { id } = await cluster.json<VmJson>(['vm', 'show', 'twin']);
  await ask(id, 'echo mine > /data/file; sync; echo 3 > /proc/sys/vm/drop_caches');
  t.equal(await ask(id, 'cat /data/file'), 'mine');
  t.equal(await vm.guest('echo 3 > /proc/sys/vm/drop_caches; cat /data/file'), 'now');
  await vm.ok(['vm', 'delete', 'twin', '--expunge', '--force', '--yes']);
  t.same(await filesOf(id), []);
});

void t.test('what is refused', async (t) => {
  const refusals: readonly [readonly string[], number, RegExp][] = [
    [['--from-snapshot', 'origin/nosuch'], 3, /has no snapshot/],
    [['--from-snapshot', 'nosuch/high'], 3, /no VM/],
    [['--from-snapshot', 'origin'], 2, /VM\/SNAPSHOT/],
    [['--from-snapshot', 'origin/high', '--image', 'guest'], 2, /exclude each other/],
  ];
  for (const [args, code, pattern] of refusals) {
    const result = await cluster.ostler(['vm', 'create', 'never', ...args]);
    t.equal(result.code, code, `${args.join(' ')}: ${result.stderr}`);
    t.match(result.stderr, pattern);
  }
});

/** Copies wait while this file is there. */
const hold = join(cluster.directory, 'hold');
const bin = join(cluster.directory, 'bin');
const wrapper = `#!/bin/sh
if [ "$1" = convert ]; then while [ -e ${hold} ]; do sleep 0.05; done; fi
exec /usr/bin/qemu-img "$@"
`;
const withPatience = { PATH: `${bin}:/usr/sbin:/usr/bin:/sbin:/bin` };

/** Begins a copy that does not come to its end; the id of its operation. */
async function heldCopy(name: string): Promise<string> {
  await writeFile(hold, '');
  const op = (await vm.ok(['vm', 'create', name, '--from-snapshot', 'origin/high', '--no-wait'])).trim();
  await eventually('the copy to begin', 30, async () => {
    const { detail } = await cluster.json<OperationJson & { detail: string }>(['op', 'show', op]);
    if (!/disk/.test(detail)) throw new Error(detail);
  });
  return op;
}

void t.test('while it copies, nothing of the other is merged; cancelled, nothing is left', async (t) => {
  await mkdir(bin);
  await writeFile(join(bin, 'qemu-img'), wrapper);
  await chmod(join(bin, 'qemu-img'), 0o755);
  const agent = cluster.agent('h1');
  await agent.stop();
  await agent.start(withPatience);
  await cluster.online('h1');
  const before = (await cluster.poolFiles('h1')).sort();
  const op = await heldCopy('other');
  const refused = await cluster.ostler(['snapshot', 'delete', 'origin', 'high', '--yes']);
  t.equal(refused.code, 4, 'C-134: in use');
  t.match(refused.stderr, /being copied into other[\s\S]*next:/, 'it names the VM and says what to do');
  for (const argv of [
    ['snapshot', 'flatten', 'origin'],
    ['vm', 'delete', 'origin', '--expunge', '--force', '--yes'],
  ])
    t.match((await cluster.ostler(argv)).stderr, /being copied into other/, argv.join(' '));
  await vm.snap('create', 'meanwhile');
  t.equal(await vm.guest('cat /data/file'), 'now', 'taking another one goes on, and so does the guest');
  t.equal((await cluster.ostler(['op', 'cancel', op])).code, 0);
  const ended = (await settled(cluster)).find((one) => one.id === op);
  t.match(ended?.state, /CANCELLED/);
  await vm.snap('delete', 'meanwhile', '--yes');
  t.same((await cluster.poolFiles('h1')).sort(), before, 'nothing is left of it');
  t.notMatch(await vm.ok(['vm', 'list']), /other/);
});

void t.test('the agent dies while it copies: the next one finishes', async (t) => {
  const agent = cluster.agent('h1');
  const op = await heldCopy('phoenix');
  await agent.kill();
  await rm(hold);
  await agent.start(withPatience);
  await cluster.online('h1');
  const ended = (await settled(cluster, 120)).find((one) => one.id === op);
  t.match(ended?.state, /SUCCEEDED/, ended?.error?.message ?? '');
  const { id } = await cluster.json<VmJson>(['vm', 'show', 'phoenix']);
  await eventually('its guest agent', 120, () => ask(id, 'true'), 500);
  t.equal(await ask(id, 'cat /data/file'), 'then');
  t.same((await filesOf(id)).length, 2, 'no half copy is left');
  await vm.ok(['vm', 'delete', 'phoenix', '--expunge', '--force', '--yes']);
  await vm.snap('delete', 'high', '--yes');
  t.same(await vm.list(), [], 'and then the snapshot may go');
  t.equal(await vm.guest('echo 3 > /proc/sys/vm/drop_caches; cat /data/file'), 'now');
  t.same(await vm.damage(), []);
});

void t.test('no room for the copy: said before the first byte', async (t) => {
  await vm.guest('dd if=/dev/urandom of=/dev/vdb bs=1M seek=8 count=48 conv=notrunc,fsync 2>/dev/null');
  await vm.snap('create', 'large', '--disk', 'root', '--disk', 'data1');
  await vm.ok(['stop', 'origin', '--yes', '--force']);
  // The pool's files move to a file system with little room.
  const move = `mkdir /away && cp -a --sparse=always ${POOL}/. /away/ && mount -t tmpfs -o size=$(($(du -sk /away | cut -f1) + 24576))k tmpfs ${POOL} && cp -a --sparse=always /away/. ${POOL}/ && rm -rf /away`;
  await exec('sh', '-c', move);
  const before = (await cluster.poolFiles('h1')).sort();
  const result = await cluster.ostler(['vm', 'create', 'large', '--from-snapshot', 'origin/large']);
  t.equal(result.code, 5, 'no room');
  t.match(result.stderr, /bytes free; the copies take/);
  t.same((await cluster.poolFiles('h1')).sort(), before, 'nothing is left');
});
