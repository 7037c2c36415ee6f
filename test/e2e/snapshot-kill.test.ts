import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startCluster } from './cluster.js';
import { supervise } from './kill-rig.js';
import { makeSubject, settled } from './snapshot-rig.js';

/**
 * kill -9 of the agent inside every snapshot verb, under a guest that runs on. Each round takes two snapshots and deletes
 * them again (one merge in the middle of the chain, one pivot), and the agent dies at the same fault point of each verb. The
 * long tier goes through all points; every time, what the guest wrote and flushed must be where it belongs.
 */
const ROUNDS = Number(process.env['OSTLER_TEST_SNAPSHOT_ROUNDS'] ?? '3');
const POINTS = 26;
t.setTimeout(3_600_000);

const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const vm = await makeSubject(cluster, 'mortal', ['--disk', 'name=data1,size=32MiB']);
await vm.booted(1);
const daemon = cluster.agent('h1');
await daemon.stop();

let gate = '';
let generation = 0;
let point = 1;
const supervised = supervise(daemon, () => {
  // A gate of its own for each process: only the verb that opens it lets it die.
  gate = join(cluster.directory, `gate-${(generation += 1)}`);
  return { OSTLER_FAULT_KILL: `*#${point}`, OSTLER_FAULT_GATE: gate };
});
await cluster.online('h1');

/** Runs a verb while the agent is let die at the present point; it must succeed all the same. */
async function mortally(args: readonly string[]): Promise<void> {
  const before = supervised.kills;
  await writeFile(gate, '');
  await vm.ok(args);
  if (supervised.kills > before) await cluster.online('h1');
  await settled(cluster);
}

async function write(value: number): Promise<void> {
  const line = `tr '\\0' '\\${value.toString(8).padStart(3, '0')}' < /dev/zero | dd of=/dev/vdb bs=4096 count=16 iflag=fullblock conv=fsync 2>/dev/null`;
  await vm.guest(`${line}; echo ${value} | tee /tmp/value > /data/value; sync`);
}

async function holds(file: string, value: number): Promise<boolean> {
  const path = file.startsWith('/') ? file : `/var/lib/libvirt/images/${file}`;
  const { stdout } = await cluster.lab.exec('h1', [
    ...['sh', '-c', `qemu-io -r -U -f qcow2 -c 'read -q -P ${value} 0 65536' ${path} 2>&1; echo end`],
  ]);
  return stdout.trim() === 'end';
}

for (let round = 0; round < ROUNDS; round += 1) {
  // All points one after the other, or a few that lie apart.
  point = ROUNDS >= POINTS ? 1 + (round % POINTS) : 1 + ((3 + round * 8) % POINTS);
  const where = `round ${round}, point ${point}`;
  void t.test(where, async (t) => {
    const value = 1 + ((round * 3) % 240);
    await write(value);
    await mortally(['snapshot', 'create', 'mortal', 'low', '--disk', 'data1', '--disk', 'root']);
    await write(value + 1);
    const memory = round % 3 === 2 ? ['--memory'] : ['--disk', 'data1'];
    await mortally(['snapshot', 'create', 'mortal', 'high', ...memory]);
    await write(value + 2);
    const list = await vm.list();
    const fileOf = (name: string): string =>
      list.find((one) => one.name === name)?.disks.find((disk) => disk.name === 'data1')?.file ?? '';
    t.same(list.map((one) => [one.name, one.state]), [['low', 'SNAPSHOT_READY'], ['high', 'SNAPSHOT_READY']]); // prettier-ignore
    t.ok(await holds(fileOf('low'), value), 'the first snapshot holds what was flushed before it');
    t.ok(await holds(fileOf('high'), value + 1), 'the second, too');
    if (memory.includes('--memory')) {
      await mortally(['snapshot', 'revert', 'mortal', 'high', '--yes']);
      await vm.agent();
      t.equal(await vm.guest('cat /tmp/value'), String(value + 1), 'V-50: the memory of that moment');
      t.equal(await vm.guest('cat /data/value'), String(value + 1), 'and its disks');
      await write(value + 2);
    }
    await mortally(['snapshot', 'delete', 'mortal', 'low', '--yes']);
    const [high] = await vm.list();
    t.ok(await holds(high?.disks.find((disk) => disk.name === 'data1')?.file ?? '', value + 1), 'the other is whole');
    await mortally(['snapshot', 'delete', 'mortal', 'high', '--yes']);
    t.same(await vm.list(), []);
    const blocks = await vm.blocks();
    t.ok(await holds(blocks['vdb'] ?? '', value + 2), 'the present is whole');
    await vm.guest('echo 3 > /proc/sys/vm/drop_caches');
    t.equal(await vm.guest('cat /data/value'), String(value + 2), 'and the guest reads it');
    const left = (await vm.files()).filter((file) => /qcow2|save|tmp/.test(file));
    t.equal(left.length, 2, `nothing is orphaned: ${left.join(' ')}`);
    t.same(await vm.damage(), [], 'qemu-img check');
  });
}

void t.test('it died often enough', async (t) => {
  const kills = supervised.kills;
  t.ok(kills >= ROUNDS * 2, `${kills} kills`);
  await supervised.stop();
});
