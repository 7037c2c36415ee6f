import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { NAME, startHotplugRig } from './hotplug-rig.js';
import { supervise } from './kill-rig.js';

/**
 * kill -9 of the agent in the middle of changes of a running guest: the next agent ends what was begun, the guest has what
 * was asked for and nothing else, and no volume is damaged or left over. Each round kills every change once, a point further
 * on; OSTLER_TEST_HOTPLUG_KILLS (the long tier) asks for more rounds.
 */
const KILLS = Number(process.env['OSTLER_TEST_HOTPLUG_KILLS'] ?? '4');
const rig = await startHotplugRig(['--max-memory', '1GiB']);
t.teardown(() => rig.down());
const { cluster, vmId } = rig;
const agent = cluster.agent('h1');
/** Points count only while it is there. */
const gate = join(cluster.directory, 'hotplug.gate');

interface Change {
  readonly argv: readonly string[];
  /** Disks and NICs that the domain has afterwards. */
  readonly disks: readonly string[];
  readonly nics: number;
  readonly files: readonly string[];
}
const root = { disks: ['vda'], nics: 1, files: ['root'] };
const CYCLE: readonly Change[] = [
  { argv: ['vm', 'disk', 'add', NAME, 'name=k,size=8MiB'], disks: ['vda', 'vdb'], nics: 1, files: ['k', 'root'] },
  {
    argv: ['vm', 'nic', 'add', NAME, 'name=n,mac=52:54:00:77:00:02'],
    disks: ['vda', 'vdb'],
    nics: 2,
    files: ['k', 'root'],
  },
  { argv: ['vm', 'nic', 'remove', NAME, 'n'], disks: ['vda', 'vdb'], nics: 1, files: ['k', 'root'] },
  { argv: ['vm', 'disk', 'remove', NAME, 'k', '--delete', '--yes'], ...root },
];

/** What is wrong, as sentences. */
async function wrong({ disks, nics, files }: Change): Promise<string[]> {
  const found: string[] = [];
  const targets = [...(await rig.virsh('domblklist', vmId)).matchAll(/^ ?(vd\w+)/gm)].map(([, dev]) => dev).sort();
  if (targets.join() !== disks.join()) found.push(`disks are ${targets.join()}`);
  const taps = (await rig.virsh('domiflist', vmId)).split('\n').filter((line) => line.trim() !== '').length;
  if (taps !== nics) found.push(`${taps} NICs`);
  const inside = (await rig.inGuest('ls /sys/block | grep ^vd; ls /sys/class/net | grep -c ^eth'))
    .split(/\s+/)
    .filter(Boolean);
  if (inside.join() !== [...disks, String(nics)].join()) found.push(`the guest has ${inside.join()}`);
  const own = (await cluster.poolFiles('h1')).filter((name) => name.includes(vmId) && name.endsWith('.qcow2')).sort();
  const expected = files.map((name) => `ostler-${vmId}-${name}.qcow2`);
  if (own.join() !== expected.join()) found.push(`volumes are ${own.join(' ')}`);
  for (const name of own) {
    const check = ['qemu-img', 'check', '-U', `/var/lib/libvirt/images/${name}`];
    await cluster.lab.exec('h1', check).catch((error: unknown) => found.push(String(error)));
  }
  const pending = await rig.ok(['vm', 'pending', NAME]);
  if (!pending.includes('Nothing is pending')) found.push(pending);
  return found;
}

/** The points that a change hits, in order. */
async function trace(change: Change): Promise<string[]> {
  const file = join(cluster.directory, 'hotplug.trace');
  await rm(file, { force: true });
  await agent.stop();
  await agent.start({ OSTLER_FAULT_TRACE: file, OSTLER_FAULT_GATE: gate });
  await cluster.online('h1');
  await writeFile(gate, '');
  await rig.ok(change.argv);
  await rm(gate);
  return (await readFile(file, 'utf8')).split('\n').filter((line) => line.startsWith('hotplug.'));
}

void t.test('killed in the middle of changes', async (t) => {
  const points: string[][] = [];
  for (const change of CYCLE) {
    points.push(await trace(change));
    t.same(await wrong(change), [], `${change.argv.slice(1, 3).join(' ')}, undisturbed`);
  }
  t.comment(points.map((all) => all.length).join(', '), 'points');
  const longest = Math.max(...points.map((all) => all.length));
  let kills = 0;
  // Spread over all points when there are fewer rounds than points.
  const rounds = Math.ceil(KILLS / CYCLE.length);
  for (let round = 0; round < rounds; round += 1) {
    const nth = Math.floor(((round + 0.5) * longest) / rounds) % longest;
    for (const [index, change] of CYCLE.entries()) {
      const all = points[index] ?? [];
      const at = Math.min(nth, all.length - 1);
      const point = all[at] ?? '';
      const hit = all.slice(0, at + 1).filter((one) => one === point).length;
      await agent.stop();
      let armed = true;
      const supervised = supervise(agent, () => {
        const fault = armed ? { OSTLER_FAULT_KILL: `${point}#${hit}`, OSTLER_FAULT_GATE: gate } : {};
        armed = false;
        return fault;
      });
      await cluster.online('h1');
      await writeFile(gate, '');
      const result = await cluster.ostler(change.argv);
      await rm(gate);
      await cluster.online('h1');
      const where = `${change.argv.slice(1, 3).join(' ')} killed at ${point}#${hit}`;
      t.equal(result.code, 0, `${where}: ${result.stderr.split('\n').at(-2) ?? ''}`);
      t.same(await wrong(change), [], where);
      t.equal(supervised.kills, 1, `${where}: was hit`);
      kills += supervised.kills;
      await supervised.stop();
      await agent.start();
      await cluster.online('h1');
    }
  }
  t.ok(kills >= KILLS, `${kills} kills`);
});
