import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import type { Command, CommandContext, Facts } from '../../agent/command.js';
import type { ChainState } from '../../agent/core/snapshot-chain/model.js';
import { createIntents } from '../../agent/drivers/intents.js';
import { createPools } from '../../agent/drivers/pools.js';
import { createSnapshot } from '../../agent/drivers/snapshots/create.js';
import { deleteSnapshot } from '../../agent/drivers/snapshots/delete.js';
import { refuseDiskInSnapshot } from '../../agent/drivers/snapshots/guard.js';
import { flattenDisks } from '../../agent/drivers/snapshots/flatten.js';
import { listSnapshots } from '../../agent/drivers/snapshots/list.js';
import { revertSnapshot } from '../../agent/drivers/snapshots/revert.js';
import { readChain, type ChainDeps } from '../../agent/drivers/snapshots/scene.js';
import { mergeKeptVolumes } from '../../agent/drivers/snapshots/volumes-kept.js';
import { createFakeHypervisor } from '../../agent/fake/hypervisor.js';
import { createLayout } from '../../agent/layout.js';
import { createLinuxHost } from '../../agent/linux/host.js';
import { buildDomainXml } from '../../agent/xml/build-domain.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { systemClock, type Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { silentLog } from '../../proto/kit/log.js';
import { MIB, type VmRecord } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';

/**
 * Random lives of a stopped VM's disks, on real qcow2 files: what every snapshot and the present hold is compared with a
 * model of it, after crashes at random fault points. A crash ends everything that the process would still do, as SIGKILL
 * does: after it, no call of the dead one reaches a file or the hypervisor any more.
 */
t.setTimeout(1_200_000);
const run = promisify(execFile);
const SEQUENCES = Number(process.env['OSTLER_SEQUENCES'] ?? 60);
const BLOCK = 64 * 1024;
const BLOCKS = MIB / BLOCK;
const DISKS = ['root', 'data'];

/** A limit of minutes is never reached here, and a dead process's timer must not keep this one awake. */
const CLOCK: Clock = {
  ...systemClock,
  sleep: (ms, signal) => (ms < 60_000 ? systemClock.sleep(ms, signal) : new Promise(() => undefined)),
};

class Crash extends Error {}

/** A process: dies at the nth fault point, and is silent from then on. */
interface Life {
  readonly deps: ChainDeps;
  readonly crashed: () => boolean;
}

/** Every method hangs for ever once the process is dead. */
function mortal<T extends object>(target: T, dead: () => boolean): T {
  return new Proxy(target, {
    get(object, key) {
      const value: unknown = Reflect.get(object, key);
      if (typeof value !== 'function') return value;
      return (...args: unknown[]): unknown => {
        if (dead()) return new Promise(() => undefined);
        return (value as (...args: unknown[]) => unknown).apply(object, args);
      };
    },
  });
}

/** Numbers that look random and are the same at every run of the same seed. */
function dice(seed: number): (sides: number) => number {
  let state = seed * 2654435761 + 12345;
  return (sides) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * sides);
  };
}

interface Bench {
  readonly record: VmRecord;
  readonly directory: string;
  /** The volume that was there before the second disk. */
  readonly given: string | undefined;
  life(crashAt: number): Life;
  chain(): Promise<ChainState>;
  definedFiles(): Promise<Readonly<Record<string, string>>>;
}

let crashes = 0;

async function makeBench(directory: string, number: number): Promise<Bench> {
  const id = `i-${String(number).padStart(10, '0')}`;
  const base = sampleRecord();
  const [root] = base.spec.disks;
  // Of every third life the second disk is a volume that was there before it.
  const given = number % 3 === 0 ? `given-${id}.qcow2` : undefined;
  const disks = DISKS.map((name) => ({
    ...{ ...root!, name, image: '', sizeBytes: MIB },
    ...(name === 'data' && given !== undefined ? { volume: given } : {}),
  }));
  const bootOrder = ['root'];
  const record = { ...base, id, spec: { ...base.spec, disks, bootOrder } };
  const host = createLinuxHost();
  const { hypervisor } = createFakeHypervisor({ clock: systemClock });
  await hypervisor.ensureDirPool('default', directory);
  const own = (name: string): string => (name === 'data' && given !== undefined ? given : `ostler-${id}-${name}.qcow2`);
  const file = (name: string): string => join(directory, own(name));
  for (const name of DISKS) await host.qemuImg.create({ path: file(name), format: 'qcow2', sizeBytes: MIB });
  const sources = new Map(DISKS.map((name) => [name, { path: file(name), format: 'qcow2' as const }]));
  const xml = buildDomainXml(record, {
    ...{ virtType: 'qemu', disks: sources, seedPath: '/seed.iso', serialLogPath: '/serial.log' },
    ...{ defaultBridge: 'br0', diskCache: 'none' },
  });
  await hypervisor.defineDomain(xml);
  const pools = createPools(
    { pools: [], defaultPool: 'default' },
    { hypervisor, host, clock: systemClock, log: silentLog },
  );
  return {
    record,
    directory,
    given,
    life: (crashAt) => {
      let hits = 0;
      let dead = false;
      const deps: ChainDeps = {
        hypervisor: mortal(hypervisor, () => dead),
        host: { ...host, files: mortal(host.files, () => dead), qemuImg: mortal(host.qemuImg, () => dead) },
        ...{ pools, layout: createLayout('/nowhere'), intents: createIntents(), clock: CLOCK, log: silentLog },
        fault: () => {
          hits += 1;
          if (hits !== crashAt) return;
          dead = true;
          crashes += 1;
          throw new Crash();
        },
      };
      return { deps, crashed: () => dead };
    },
    chain: async () => {
      const found = await readChain(record, await pools.list(), { host, pools });
      if (found !== undefined) return found.state;
      return {
        ...{ snapshots: [], now: '', counter: 0 },
        files: Object.fromEntries(DISKS.map((name) => [own(name), { disk: name, backing: '' }])),
        current: Object.fromEntries(DISKS.map((name) => [name, own(name)])),
      };
    },
    definedFiles: async () => {
      const { disks: drives } = readDomain(await hypervisor.domainXml(record.uuid, { inactive: true }));
      return { root: drives[0]?.source ?? '', data: drives[1]?.source ?? '' };
    },
  };
}

const CONTEXT: CommandContext = {
  signal: new AbortController().signal,
  progress: () => undefined,
  recorded: Promise.resolve(),
  notes: [],
  note: () => Promise.resolve(),
};

type Verb = (deps: ChainDeps) => Promise<Facts>;

/** Runs a verb again and again, dying at a later point each time as the dice say, until it is done. */
async function untilDone(bench: Bench, verb: Verb, roll: (sides: number) => number): Promise<void> {
  for (;;) {
    const life = bench.life(roll(3) === 0 ? 0 : 1 + roll(14));
    let look: NodeJS.Timeout | undefined;
    // The dead one's promise never settles; something has to keep this process awake.
    const died = new Promise<'died'>((resolve) => {
      look = setInterval(() => {
        if (life.crashed()) resolve('died');
      }, 1);
    });
    const done = verb(life.deps).then(
      () => 'done' as const,
      (error: unknown) => {
        if (life.crashed()) return 'died' as const;
        throw error;
      },
    );
    const end = await Promise.race([done, died]).finally(() => clearInterval(look));
    if (end === 'done') return;
  }
}

type Blocks = readonly number[];

async function write(path: string, block: number, value: number): Promise<void> {
  await run('qemu-io', ['-f', 'qcow2', '-c', `write -q -P ${value} ${block * BLOCK} ${BLOCK}`, path]);
}

/** Whether every block is what it must be, and there are no more of them. */
async function holds(path: string, blocks: Blocks): Promise<boolean> {
  const reads = blocks.flatMap((value, block) => ['-c', `read -q -P ${value} ${block * BLOCK} ${BLOCK}`]);
  const { stdout } = await run('qemu-io', ['-r', '-U', '-f', 'qcow2', ...reads, path]).catch((error: unknown) => ({
    stdout: String((error as { stdout?: string }).stdout ?? error),
  }));
  const { stdout: info } = await run('qemu-img', ['info', '-U', '--output=json', path]);
  const size = (JSON.parse(info) as { 'virtual-size': number })['virtual-size'];
  return stdout.trim() === '' && size === blocks.length * BLOCK;
}

function commandOf<K extends Command['body']['kind']>(bench: Bench, body: object, kind: K): Command<K> {
  const { id: vmId, uuid: vmUuid, epoch } = bench.record;
  return { id: 'c', operation: 'o', vmId, vmUuid, epoch, body: { kind, record: bench.record, ...body } } as never;
}

async function liveOnce(directory: string, seed: number): Promise<string[]> {
  const roll = dice(seed);
  const bench = await makeBench(directory, seed);
  const zeros: Blocks = Array<number>(BLOCKS).fill(0);
  let present: Record<string, Blocks> = { root: zeros, data: zeros };
  const model = new Map<string, Record<string, Blocks>>();
  const told: string[] = [];
  for (let step = 0; step < 10; step += 1) {
    const disk = DISKS[roll(2)] ?? 'root';
    const ids = [...model.keys()];
    const picked = ids[roll(Math.max(1, ids.length))];
    const what = roll(10);
    if (what < 3) {
      const block = roll(BLOCKS);
      const value = 1 + roll(250);
      await write(join(directory, (await bench.chain()).current[disk] ?? ''), block, value);
      present = { ...present, [disk]: (present[disk] ?? zeros).map((old, index) => (index === block ? value : old)) };
    } else if (what < 6) {
      const id = `snap-${String(seed * 100 + step).padStart(10, '0')}`;
      const disks = roll(2) === 0 ? DISKS : [disk];
      const wish = { id, name: id, description: '', tags: {}, disks, memory: false, quiesce: false };
      await untilDone(
        bench,
        (deps) =>
          createSnapshot(commandOf(bench, { wish, limit: 99, waitMs: 600_000 }, 'snapshot-create'), CONTEXT, deps),
        roll,
      );
      model.set(id, Object.fromEntries(disks.map((name) => [name, present[name] ?? zeros])));
    } else if (picked !== undefined && what === 6) {
      await untilDone(
        bench,
        (deps) => revertSnapshot(commandOf(bench, { snapshot: picked }, 'snapshot-revert'), CONTEXT, deps),
        roll,
      );
      present = { ...present, ...model.get(picked) };
    } else if (picked !== undefined && what === 7) {
      await untilDone(
        bench,
        (deps) => deleteSnapshot(commandOf(bench, { snapshot: picked }, 'snapshot-delete'), CONTEXT, deps),
        roll,
      );
      model.delete(picked);
    } else if (what === 8 && roll(3) === 0)
      await untilDone(
        bench,
        (deps) =>
          flattenDisks(
            commandOf(bench, { disks: bench.given === undefined ? [] : ['root'] }, 'snapshot-flatten'),
            CONTEXT,
            deps,
          ),
        roll,
      );
    else if (what === 9) {
      await run('qemu-img', ['resize', '-q', join(directory, (await bench.chain()).current[disk] ?? ''), `+${BLOCK}`]);
      present = { ...present, [disk]: [...(present[disk] ?? zeros), 0] };
    }
    told.push(`${what}${disk}${picked ?? ''}`);
  }
  const wrong = await verdict(bench, present, model);
  if (bench.given !== undefined)
    wrong.push(...(await verdictOfVolume(bench, bench.given, present['data'] ?? [], roll)));
  return wrong.map((one) => `seed ${seed}: ${one} after ${told.join(' ')}`);
}

/** What was there before the disk stays when the VM goes, with everything that the guest wrote. */
async function verdictOfVolume(
  bench: Bench,
  volume: string,
  blocks: Blocks,
  roll: (sides: number) => number,
): Promise<string[]> {
  const wrong: string[] = [];
  const { snapshots, current } = await bench.chain();
  const flatten = flattenDisks(commandOf(bench, { disks: ['data'] }, 'snapshot-flatten'), CONTEXT, bench.life(0).deps);
  const refused = await flatten.then(
    () => '',
    (error: unknown) => (error as OstlerError).code,
  );
  if (current['data'] !== volume && refused !== 'WRONG_STATE') wrong.push(`flattening was not refused: ${refused}`);
  if (snapshots.length === 0 && current['data'] !== volume) wrong.push('without snapshots it is not on its volume');
  await untilDone(bench, (deps) => mergeKeptVolumes(bench.record, CONTEXT, deps).then(() => ({})), roll);
  if ((await bench.chain()).current['data'] !== volume) wrong.push('it did not come back to its volume');
  if (!(await holds(join(bench.directory, volume), blocks))) wrong.push('the volume is not what was written');
  return wrong;
}

/** Everything that must be true at the end of a life; what is not, as sentences. */
async function verdict(
  bench: Bench,
  present: Readonly<Record<string, Blocks>>,
  model: ReadonlyMap<string, Readonly<Record<string, Blocks>>>,
): Promise<string[]> {
  const wrong: string[] = [];
  const { directory, record } = bench;
  const chain = await bench.chain();
  const defined = await bench.definedFiles();
  for (const [disk, blocks] of Object.entries(present)) {
    const file = join(directory, chain.current[disk] ?? '');
    if (defined[disk] !== file) wrong.push(`libvirt shows ${defined[disk] ?? ''} for ${disk}, not ${file}`);
    if (!(await holds(file, blocks))) wrong.push(`the present of ${disk} is not what was written`);
  }
  const list = await listSnapshots(record, bench.life(0).deps);
  if (
    list.snapshots
      .map((one) => one.id)
      .sort()
      .join() !== [...model.keys()].sort().join()
  )
    wrong.push(`the list is ${list.snapshots.map((one) => `${one.id}/${one.state}`).join()}`);
  for (const { id, disks } of list.snapshots)
    for (const { name, file } of disks)
      if (!(await holds(join(directory, file), model.get(id)?.[name] ?? [])))
        wrong.push(`snapshot ${id} of ${name} is not what it was`);
  const own = (await readdir(directory)).filter((name) => name.includes(record.id) && !name.endsWith('.json'));
  const known = new Set(Object.keys(chain.files));
  for (const name of own) if (!known.has(name)) wrong.push(`orphan ${name}`);
  for (const name of own) {
    const checked = await run('qemu-img', ['check', '-q', join(directory, name)]).then(
      () => true,
      (error: unknown) => (error as { code?: number }).code === 3,
    );
    if (!checked) wrong.push(`${name} is damaged`);
  }
  return wrong;
}

void t.test(`${SEQUENCES} random lives of real disks, with crashes`, async (t) => {
  const directory = await mkdtemp('/var/tmp/ostler-snapshots-');
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const wrong: string[] = [];
  for (let seed = 1; seed <= SEQUENCES; seed += 1) {
    wrong.push(...(await liveOnce(directory, seed)));
    for (const name of await readdir(directory)) if (/ostler-i|given-/.test(name)) await rm(join(directory, name));
  }
  t.comment(`${crashes} crashes`);
  t.same(wrong, []);
  t.ok(crashes > SEQUENCES, 'it crashed often enough to mean something');
});

void t.test('a deletion that is cancelled stays in the list, and goes on when it is asked for again', async (t) => {
  const directory = await mkdtemp('/var/tmp/ostler-snapshots-');
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  const bench = await makeBench(directory, 1);
  const { deps } = bench.life(0);
  const id = 'snap-0000000001';
  const wish = { id, name: id, description: '', tags: {}, disks: DISKS, memory: false, quiesce: false };
  await createSnapshot(commandOf(bench, { wish, limit: 99, waitMs: 600_000 }, 'snapshot-create'), CONTEXT, deps);
  await write(join(directory, (await bench.chain()).current['root'] ?? ''), 3, 7);
  const cancel = new AbortController();
  const fault = (name: string): void => {
    if (name === 'snapshot.merge-begun') cancel.abort(new OstlerError('CANCELLED', 'cancelled'));
  };
  const order = commandOf(bench, { snapshot: id }, 'snapshot-delete');
  const context = { ...CONTEXT, signal: cancel.signal };
  await t.rejects(deleteSnapshot(order, context, { ...deps, fault }), { code: 'CANCELLED' });
  t.match(await listSnapshots(bench.record, deps), { snapshots: [{ id, state: 'deleting' }] });
  const back = commandOf(bench, { snapshot: id }, 'snapshot-revert');
  await t.rejects(revertSnapshot(back, CONTEXT, deps), { code: 'WRONG_STATE', remedy: /delete this one to the end/ });
  await t.rejects(refuseDiskInSnapshot(bench.record, 'root', deps), { code: 'IN_USE' }, 'M-085');
  await deleteSnapshot(order, CONTEXT, deps);
  const zeros: Blocks = Array<number>(BLOCKS).fill(0);
  const written = zeros.map((_zero, index) => (index === 3 ? 7 : 0));
  t.same(await verdict(bench, { root: written, data: zeros }, new Map()), []);
  await refuseDiskInSnapshot(bench.record, 'root', deps);
});

void t.test('a volume that was there before is what is left, however little it held', async (t) => {
  const directory = await mkdtemp('/var/tmp/ostler-snapshots-');
  t.teardown(() => rm(directory, { recursive: true, force: true }));
  // Of every third bench the second disk is such a volume.
  const bench = await makeBench(directory, 3);
  const given = bench.given ?? '';
  const { deps } = bench.life(0);
  const id = 'snap-0000000001';
  const wish = { id, name: id, description: '', tags: {}, disks: DISKS, memory: false, quiesce: false };
  const take = commandOf(bench, { wish, limit: 99, waitMs: 600_000 }, 'snapshot-create');
  const go = commandOf(bench, { snapshot: id }, 'snapshot-delete');
  const blocks = Array<number>(BLOCKS).fill(9);
  const overwrite = async (): Promise<void> => {
    const path = join(directory, (await bench.chain()).current['data'] ?? '');
    for (const [block, value] of blocks.entries()) await write(path, block, value);
  };
  await createSnapshot(take, CONTEXT, deps);
  await overwrite();
  const flatten = commandOf(bench, { disks: [] }, 'snapshot-flatten');
  await t.rejects(flattenDisks(flatten, CONTEXT, deps), { code: 'WRONG_STATE', field: 'disks', remedy: /Delete/ });
  await deleteSnapshot(go, CONTEXT, deps);
  t.equal((await bench.chain()).current['data'], given, 'deleted: everything is in the volume');
  t.ok(await holds(join(directory, given), blocks));
  await createSnapshot(take, CONTEXT, deps);
  blocks.fill(10);
  await overwrite();
  t.not((await bench.chain()).current['data'], given);
  await mergeKeptVolumes(bench.record, CONTEXT, deps);
  t.equal((await bench.chain()).current['data'], given, 'before the VM goes: the same');
  t.ok(await holds(join(directory, given), blocks));
});
