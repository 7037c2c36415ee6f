import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { startCluster } from './cluster.js';
import { supervise } from './kill-rig.js';
import { makeSubject, settled } from './snapshot-rig.js';

/**
 * kill -9 of the agent inside every snapshot verb, under a guest that runs on. Each round takes two snapshots and deletes
 * them again (one merge in the middle of the chain, one pivot); every third one goes back to the memory of one, every third
 * one stops and goes back to the disks of one, every third one makes the disk stand by itself. The agent dies at the same
 * fault point of each verb. The long tier goes through all points; every time, what the guest wrote and flushed must be where
 * it belongs.
 */
const ROUNDS = Number(process.env['OSTLER_TEST_SNAPSHOT_ROUNDS'] ?? '3');
/** Each time a verb runs it dies this much further on, so that a few rounds see points that lie apart. */
const STRIDE = ROUNDS > 10 ? 1 : 5;
t.setTimeout(7_200_000);

const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const vm = await makeSubject(cluster, 'mortal', ['--disk', 'name=data1,size=32MiB']);
await vm.booted(1);
const daemon = cluster.agent('h1');
await daemon.stop();

const gateOf = (number: number): string => join(cluster.directory, `gate-${number}`);
let gate = '';
let generation = 0;
/** Where each verb dies next. */
const next = new Map<string, number>();
/** Where it died, as `verb point`, and how often. */
const deaths = new Map<string, number>();
/** What was passed, whether it died there or not. */
const passed = new Set<string>();
const supervised = supervise(daemon, () => {
  // A gate of its own for each process: only the verb that opens it lets it die.
  gate = gateOf((generation += 1));
  return { OSTLER_FAULT_KILL: '*#1', OSTLER_FAULT_GATE: gate, OSTLER_FAULT_TRACE: `${gate}.points` };
});
await cluster.online('h1');

/** Runs a verb while the agent is let die at the verb's next point; it must succeed all the same. */
async function mortally(args: readonly string[], options: { readonly twice: boolean }): Promise<void> {
  const first = generation;
  const verb = `${args[0] ?? ''}${args.includes('--memory') ? ' with memory' : ''}`;
  const point = next.get(verb) ?? 1;
  // Open for the next process, too: it dies while it finishes what the one before began.
  if (options.twice) await writeFile(gateOf(first + 1), `${1 + (point % 5)} again`);
  await writeFile(gate, `${point} ${verb} ${performance.now()}`);
  const asked = await cluster.ostler(['snapshot', ...args]);
  if (asked.code !== 0) {
    // It died of something before the verb (an event that it told): nothing was begun, so it is asked for again.
    if (!asked.stderr.includes('HOST_UNREACHABLE')) throw new Error(`${args.join(' ')}: ${asked.stderr}`);
    await cluster.online('h1');
    await vm.ok(['snapshot', ...args]);
  }
  await rm(gateOf(first), { force: true });
  if (generation > first) await cluster.online('h1');
  await settled(cluster);
  await rm(gateOf(first + 1), { force: true });
  // Beyond its last point it lived: it begins anew.
  next.set(verb, generation > first ? point + STRIDE : 1 + (point % STRIDE));
  for (let number = first; number <= generation; number += 1) {
    const points = await newPoints(number, verb);
    for (const name of points) passed.add(name);
    const last = points.at(-1);
    if (number < generation && last !== undefined) deaths.set(last, (deaths.get(last) ?? 0) + 1);
  }
}

/** How many lines of a process's trace were read. */
const told = new Map<number, number>();

async function newPoints(number: number, verb: string): Promise<readonly string[]> {
  const text = await readFile(`${gateOf(number)}.points`, 'utf8').catch(() => '');
  const lines = text.split('\n').filter((line) => line !== '');
  const fresh = lines.slice(told.get(number) ?? 0);
  told.set(number, lines.length);
  return fresh.map((name) => `${verb}: ${name}`);
}

let boots = 1;

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
  const where = `round ${round}`;
  void t.test(where, async (t) => {
    const value = 1 + ((round * 3) % 240);
    const dying = (...args: readonly string[]): Promise<void> => mortally(args, { twice: round % 2 === 1 });
    await write(value);
    await dying('create', 'mortal', 'low', '--disk', 'data1', '--disk', 'root');
    await write(value + 1);
    const memory = round % 3 === 2 ? ['--memory'] : ['--disk', 'data1'];
    await dying('create', 'mortal', 'high', ...memory);
    await write(value + 2);
    const list = await vm.list();
    const fileOf = (name: string): string =>
      list.find((one) => one.name === name)?.disks.find((disk) => disk.name === 'data1')?.file ?? '';
    t.same(list.map((one) => [one.name, one.state]), [['low', 'SNAPSHOT_READY'], ['high', 'SNAPSHOT_READY']]); // prettier-ignore
    t.ok(await holds(fileOf('low'), value), 'the first snapshot holds what was flushed before it');
    t.ok(await holds(fileOf('high'), value + 1), 'the second, too');
    if (memory.includes('--memory')) {
      await dying('revert', 'mortal', 'high', '--yes');
      await vm.agent();
      t.equal(await vm.guest('cat /tmp/value'), String(value + 1), 'V-50: the memory of that moment');
      t.equal(await vm.guest('cat /data/value'), String(value + 1), 'and its disks');
      await write(value + 2);
    }
    if (round % 3 === 1) {
      await vm.ok(['stop', 'mortal', '--yes', '--force']);
      await dying('revert', 'mortal', 'low', '--yes');
      t.ok(await holds((await vm.blocks())['vdb'] ?? '', value), 'C-132: the disks of that moment');
      await vm.ok(['start', 'mortal']);
      await vm.booted((boots += 1));
      t.equal(await vm.guest('cat /data/value'), String(value), 'the guest reads them');
      await write(value + 2);
    }
    if (round % 3 === 0) {
      await dying('flatten', 'mortal', '--disk', 'data1');
      t.same((await vm.chain((await vm.blocks())['vdb'] ?? '')).length, 1, 'it stands by itself');
    }
    await dying('delete', 'mortal', 'low', '--yes');
    const [high] = await vm.list();
    t.ok(await holds(high?.disks.find((disk) => disk.name === 'data1')?.file ?? '', value + 1), 'the other is whole');
    await dying('delete', 'mortal', 'high', '--yes');
    t.same(await vm.list(), []);
    const blocks = await vm.blocks();
    t.ok(await holds(blocks['vdb'] ?? '', value + 2), 'the present is whole');
    await vm.guest('echo 3 > /proc/sys/vm/drop_caches');
    t.equal(await vm.guest('cat /data/value'), String(value + 2), 'and the guest reads it');
    const left = (await vm.files()).filter((file) => /qcow2|save|tmp/.test(file));
    t.equal(left.length, 2, `nothing is orphaned: ${left.join(' ')}`);
    t.same(await vm.damage(), [], 'qemu-img check');
    t.comment(`${supervised.kills} kills so far`);
  });
}

void t.test('it died often enough', async (t) => {
  const kills = supervised.kills;
  t.ok(kills >= ROUNDS * 2, `${kills} kills`);
  const missed = [...passed].filter((one) => !deaths.has(one)).sort();
  t.comment(`${deaths.size} places; not killed at: ${missed.join(', ') || 'none'}`);
  for (const [place, count] of [...deaths].sort()) t.comment(`${count} × ${place}`);
  await supervised.stop();
});
