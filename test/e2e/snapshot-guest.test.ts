import { createHash } from 'node:crypto';
import t from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { makeSubject, type Subject } from './snapshot-rig.js';

/**
 * Random lives of a running guest's disk: write, snapshot (with memory or without), revert, delete, grow, flatten, against a
 * model of its content. After every step the guest reads what the model says; at the end every snapshot holds what it held.
 * The long tier runs more of them.
 */
const SEQUENCES = Number(process.env['OSTLER_TEST_GUEST_SEQUENCES'] ?? '3');
const STEPS = 8;
const BLOCK = 256 * 1024;
const FIRST_BLOCKS = 16;
t.setTimeout(7_200_000);

const cluster: Cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
const vm: Subject = await makeSubject(cluster, 'random', [
  '--disk',
  `name=data1,size=${(FIRST_BLOCKS * BLOCK) / 1024}KiB`,
]);
await vm.booted(1);
let boots = 1;

type Blocks = readonly number[];

/** Numbers that look random and are the same at every run of the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed * 2654435761 + 12345;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

const octal = (value: number): string => value.toString(8).padStart(3, '0');
const hashOf = (blocks: Blocks): string => {
  const hash = createHash('md5');
  for (const value of blocks) hash.update(Buffer.alloc(BLOCK, value));
  return hash.digest('hex');
};

const write = (block: number, value: number): Promise<string> =>
  vm.guest(
    `tr '\\0' '\\${octal(value)}' < /dev/zero | dd of=/dev/vdb bs=${BLOCK} seek=${block} count=1 iflag=fullblock conv=fsync,notrunc 2>/dev/null`,
  );
const inGuest = async (): Promise<string> =>
  (await vm.guest('echo 3 > /proc/sys/vm/drop_caches; md5sum < /dev/vdb')).split(' ')[0] ?? '';
/** Of a file with everything below it. */
async function onDisk(file: string): Promise<string> {
  const path = file.startsWith('/') ? file : `/var/lib/libvirt/images/${file}`;
  const line = `qemu-img convert -U -f qcow2 -O raw ${path} /tmp/raw && md5sum < /tmp/raw; rm -f /tmp/raw`;
  return (await cluster.lab.exec('h1', ['sh', '-c', line])).stdout.split(' ')[0] ?? '';
}

interface Kept {
  readonly name: string;
  readonly memory: boolean;
  readonly blocks: Blocks;
  /** What was in the guest's memory. */
  readonly mark: string;
}

let present: Blocks = Array<number>(FIRST_BLOCKS).fill(0);

async function goBack(kept: Kept): Promise<string> {
  if (kept.memory) {
    await vm.snap('revert', kept.name, '--yes');
    await vm.agent();
    const mark = await vm.guest('cat /tmp/mark');
    return mark === kept.mark ? '' : `the memory says ${mark}, not ${kept.mark}`;
  }
  await vm.ok(['stop', 'random', '--yes', '--force']);
  await vm.snap('revert', kept.name, '--yes');
  await vm.ok(['start', 'random']);
  await vm.booted((boots += 1));
  return '';
}

for (let seed = 1; seed <= SEQUENCES; seed += 1) {
  void t.test(`sequence ${seed}`, async (t) => {
    const roll = dice(seed);
    let kept: readonly Kept[] = [];
    const told: string[] = [];
    const check = async (what: string): Promise<void> => {
      told.push(what);
      t.equal(await inGuest(), hashOf(present), `the guest reads what the model says after ${what}`);
    };
    for (let step = 0; step < STEPS; step += 1) {
      const picked = kept[roll(Math.max(1, kept.length))];
      const what = roll(12);
      if (what < 4) {
        const [block, value] = [roll(present.length), 1 + roll(250)];
        await write(block, value);
        present = present.map((old, index) => (index === block ? value : old));
        await check(`write ${block}`);
      } else if (what < 8) {
        const name = `s${seed}-${step}`;
        const memory = roll(3) === 0;
        await vm.guest(`echo ${name} > /tmp/mark; sync`);
        await vm.snap('create', name, ...(memory ? ['--memory'] : ['--disk', 'root', '--disk', 'data1']));
        kept = [...kept, { name, memory, blocks: present, mark: name }];
        await check(`snapshot ${name}${memory ? ' with memory' : ''}`);
      } else if (what === 8 && picked !== undefined) {
        t.equal(await goBack(picked), '');
        present = picked.blocks;
        await check(`revert ${picked.name}`);
      } else if (what === 9 && picked !== undefined) {
        await vm.snap('delete', picked.name, '--yes');
        kept = kept.filter((one) => one !== picked);
        await check(`delete ${picked.name}`);
      } else if (what === 10) {
        const size = present.length + 4;
        await vm.ok(['vm', 'disk', 'grow', 'random', 'data1', `${(size * BLOCK) / 1024}KiB`]);
        present = [...present, 0, 0, 0, 0];
        await check('grow');
      } else if (what === 11) {
        await vm.snap('flatten', '--disk', 'data1');
        await check('flatten');
      }
    }
    const list = await vm.list();
    t.same(list.map((one) => one.name).sort(), kept.map((one) => one.name).sort(), told.join(', '));
    for (const one of list) {
      const file = one.disks.find((disk) => disk.name === 'data1')?.file ?? '';
      const blocks = kept.find(({ name }) => name === one.name)?.blocks ?? [];
      t.equal(await onDisk(file), hashOf(blocks), `${one.name} holds what it held`);
    }
    t.same(await vm.damage(), [], 'qemu-img check');
    for (const one of list) await vm.snap('delete', one.name, '--yes');
    t.equal(await inGuest(), hashOf(present), 'and so does the present without them');
    t.equal((await vm.files()).filter((file) => /qcow2|save|tmp/.test(file)).length, 2, 'nothing is orphaned');
  });
}
