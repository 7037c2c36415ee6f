import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { eventually } from './eventually.js';
import { NAME, startHotplugRig } from './hotplug-rig.js';
import { settled } from './snapshot-rig.js';
import type { OperationJson } from './vm-view.js';

/**
 * No room, and no libvirt, in the middle of changes of a running guest: an error that says what to do, nothing half done,
 * and afterwards record, libvirt, guest and pool say the same.
 */
t.setTimeout(900_000);
const POOL = '/var/lib/libvirt/images';
const rig = await startHotplugRig(['--max-memory', '1GiB', '--cpus', '1', '--max-cpus', '2'], async (cluster) => {
  await cluster.lab.exec('h1', ['mkdir', '-p', POOL]);
  await cluster.lab.exec('h1', ['mount', '-t', 'tmpfs', '-o', 'size=220M', 'tmpfs', POOL]);
});
t.teardown(() => rig.down());
const { cluster, vmId } = rig;
const agent = cluster.agent('h1');
const gate = join(cluster.directory, 'trouble.gate');

/** Leaves so many KiB free. */
const fill = async (left: number): Promise<void> => {
  const script = `rm -f ${POOL}/ballast; free=$(df -k --output=avail ${POOL} | tail -1); dd if=/dev/zero of=${POOL}/ballast bs=1K count=$((free - ${left})) 2>/dev/null`;
  await cluster.lab.exec('h1', ['sh', '-c', script]);
};
const free = async (): Promise<void> => {
  await cluster.lab.exec('h1', ['rm', '-f', `${POOL}/ballast`]);
};

interface View {
  readonly disks: readonly string[];
  readonly nics: readonly string[];
}

/** The disks and NICs as each of those who know says, and what contradicts. */
async function view(): Promise<{ readonly view: View; readonly wrong: readonly string[] }> {
  const wrong: string[] = [];
  const { spec } = await rig.show();
  const recorded = { disks: spec.disks.map((disk) => disk.name), nics: spec.nics.map((nic) => nic.mac) };
  for (const inactive of [[], ['--inactive']]) {
    const xml = await rig.virsh('dumpxml', vmId, ...inactive);
    const files = [...xml.matchAll(/<source file='[^']*\/ostler-i-\w+-([a-z0-9]+)\.qcow2'/g)].map(([, name]) => name);
    const macs = [...xml.matchAll(/<mac address='([^']+)'/g)].map(([, mac]) => mac);
    const said = [files.sort().join(), macs.sort().join()].join(' ');
    const expected = [[...recorded.disks].sort().join(), [...recorded.nics].sort().join()].join(' ');
    if (said !== expected) wrong.push(`libvirt${inactive.join()} has ${said}, the record ${expected}`);
  }
  const inside = (await rig.inGuest('ls /sys/block | grep -c ^vd; ls /sys/class/net | grep -c ^eth')).split(/\s+/);
  const counts = [String(recorded.disks.length), String(recorded.nics.length)];
  if (inside.slice(0, 2).join() !== counts.join()) wrong.push(`the guest has ${inside.join()}, not ${counts.join()}`);
  const pool = (await cluster.poolFiles('h1')).filter((name) => name.includes(vmId) && /qcow2|tmp/.test(name)).sort();
  const files = recorded.disks.map((name) => `ostler-${vmId}-${name}.qcow2`).sort();
  if (pool.join() !== files.join()) wrong.push(`the pool has ${pool.join()}, not ${files.join()}`);
  for (const name of pool)
    await cluster.lab
      .exec('h1', ['qemu-img', 'check', '-U', `${POOL}/${name}`])
      .catch((error: unknown) => wrong.push(String(error)));
  const pending = await rig.ok(['vm', 'pending', NAME]);
  if (!pending.includes('Nothing is pending')) wrong.push(pending);
  return { view: recorded, wrong };
}

async function agrees(t: Test, what: string, expected?: View): Promise<View> {
  // The guest and its agent may be a moment behind.
  const seen = await eventually(`all to agree: ${what}`, 20, async () => {
    const now = await view();
    if (now.wrong.length > 0) throw new Error(now.wrong.join('; '));
    return now;
  }).catch(async (error: unknown) => {
    t.fail(String(error));
    return view();
  });
  t.same(seen.wrong, [], what);
  if (expected !== undefined) t.same(seen.view, expected, `${what}: nothing changed`);
  return seen.view;
}

/** The last operation of a kind, when it has ended. */
async function lastUpdate(): Promise<OperationJson> {
  const [last] = (await settled(cluster, 120)).filter((one) => one.kind === 'vm.update').reverse();
  if (last === undefined) throw new Error('there was no change');
  return last;
}

/** The agent stands still at a point of a change; `meanwhile` happens; it goes on. Returns how the change ended. */
async function interrupted(
  argv: readonly string[],
  point: string,
  meanwhile: (goOn: () => Promise<void>) => Promise<void>,
): Promise<{ readonly code: number | null; readonly stderr: string }> {
  await agent.stop();
  await agent.start({ OSTLER_FAULT_STOP: point, OSTLER_FAULT_GATE: gate });
  await cluster.online('h1');
  await writeFile(gate, '');
  const asked = cluster.ostler(argv);
  const pid = await agent.pid();
  try {
    await eventually(`the agent to stop at ${point}`, 60, async () => {
      const state = /\) (\w) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1];
      if (state !== 'T') throw new Error(`it is ${state ?? '?'}`);
    });
    const goOn = async (): Promise<void> => {
      // nsenter, its parent, stops with its child.
      const parent = Number(/\) \w (\d+) /.exec(await readFile(`/proc/${pid}/stat`, 'utf8'))?.[1]);
      for (const one of [parent, pid]) process.kill(one, 'SIGCONT');
    };
    await meanwhile(goOn);
    await goOn();
    return await asked;
  } finally {
    await rm(gate, { force: true });
    await cluster.online('h1');
  }
}

void t.test('no room', async (t) => {
  const before = await agrees(t, 'at first');
  await rig.ok(['vm', 'disk', 'add', NAME, 'name=data1,size=8MiB']);
  await rig.inGuest('head -c 4194304 /dev/urandom >/tmp/a && dd if=/tmp/a of=/dev/vdb bs=64k conv=fsync');
  const one = await agrees(t, 'with a data disk');
  t.equal(one.disks.length, before.disks.length + 1);

  await fill(512);
  const planned = await cluster.ostler(['vm', 'disk', 'add', NAME, 'name=data2,size=8MiB']);
  t.not(planned.code, 0);
  t.match(planned.stderr, /STORAGE_FULL[^]*next: Free some room/, 'known beforehand');
  await agrees(t, 'refused before it began', one);

  await fill(0);
  const grow = await cluster.ostler(['vm', 'disk', 'grow', NAME, 'data1', '8TiB']);
  t.equal(grow.code, 5, grow.stderr);
  t.match(grow.stderr, /STORAGE_FULL[^]*next: /, 'a growth without room for its tables says what to do');
  await agrees(t, 'not grown', one);
  t.match(await rig.inGuest('cat /sys/block/vdb/size'), /^16384$/m, 'the guest sees the old size');

  await free();
  const late = await interrupted(['vm', 'disk', 'add', NAME, 'name=data2,size=8MiB'], 'hotplug.volume-make', () =>
    fill(64),
  );
  t.not(late.code, 0);
  t.match(late.stderr, /STORAGE_FULL[^]*next: /, 'the pool filled up between plan and work');
  await agrees(t, 'taken back', one);

  await rig.ok(['vm', 'nic', 'add', NAME, 'name=extra']);
  await rig.ok(['vm', 'nic', 'remove', NAME, 'extra']);
  await agrees(t, 'what needs no room works', one);
  t.match(await rig.inGuest('head -c 4194304 /dev/vdb | cmp - /tmp/a && echo same'), /same/, 'nothing is lost');
  await rig.ok(['vm', 'disk', 'remove', NAME, 'data1', '--delete', '--yes']);
  await free();
  await agrees(t, 'a disk leaves a full pool', before);
});

interface Case {
  readonly argv: readonly string[];
  readonly points: readonly string[];
  /** Makes what the change is about, and what is left of it afterwards go. */
  readonly first?: readonly string[];
  readonly last?: readonly string[];
}
const CASES: readonly Case[] = [
  {
    argv: ['vm', 'disk', 'add', NAME, 'name=k,size=8MiB'],
    points: ['hotplug.volume-make', 'hotplug.disk-attach', 'hotplug.disk-plugged', 'hotplug.defined'],
    last: ['vm', 'disk', 'remove', NAME, 'k', '--delete', '--yes'],
  },
  {
    argv: ['vm', 'nic', 'add', NAME, 'name=n'],
    points: ['hotplug.nic-plugged'],
    last: ['vm', 'nic', 'remove', NAME, 'n'],
  },
  {
    first: ['vm', 'disk', 'add', NAME, 'name=k,size=8MiB'],
    argv: ['vm', 'disk', 'remove', NAME, 'k', '--delete', '--yes'],
    points: ['hotplug.detach-asked', 'hotplug.disk-detach-done'],
  },
  {
    first: ['vm', 'disk', 'add', NAME, 'name=k,size=8MiB'],
    argv: ['vm', 'disk', 'grow', NAME, 'k', '16MiB'],
    points: ['hotplug.disk-grow', 'hotplug.disk-grow-done'],
    last: ['vm', 'disk', 'remove', NAME, 'k', '--delete', '--yes'],
  },
];

for (const one of CASES)
  for (const point of one.points)
    void t.test(`libvirtd dies at ${point}, for ${one.argv.slice(1, 3).join(' ')}`, async (t) => {
      const before = await agrees(t, 'before');
      if (one.first !== undefined) await rig.ok(one.first);
      const first = await agrees(t, 'made ready');
      const said = await interrupted(one.argv, point, async (goOn) => {
        await cluster.lab.libvirtd('h1', 'kill');
        await goOn();
        // It is away while the change goes on, and while it is taken back.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        await cluster.lab.libvirtd('h1', 'start');
      });
      const { state } = await lastUpdate();
      if (point !== 'hotplug.detach-asked') t.match(said.stderr, /Trying again, attempt 2/, 'M-050: it is tried again');
      t.equal(state, said.code === 0 ? 'SUCCEEDED' : 'FAILED', `it ended: ${state} ${said.stderr}`);
      if (said.code !== 0) t.match(said.stderr, /HYPERVISOR_UNAVAILABLE[^]*next: /, 'a typed error with a remedy');
      const after = await agrees(t, 'afterwards', said.code === 0 ? undefined : first);
      if (said.code !== 0) await rig.ok(one.argv);
      if (said.code !== 0) t.notSame(await agrees(t, 'asked for again').then(String), after, 'it can be done again');
      if (one.last !== undefined) await rig.ok(one.last);
      await agrees(t, 'in the end', before);
    });

void t.test('libvirtd dies while QEMU is at the change', async (t) => {
  const before = await agrees(t, 'before');
  const argv = ['vm', 'disk', 'add', NAME, 'name=k,size=8MiB'];
  const pid = (await cluster.lab.exec('h1', ['pgrep', '-f', `guest=${vmId}`])).stdout.trim().split('\n')[0] ?? '';
  const said = await interrupted(argv, 'hotplug.disk-attach', async (goOn) => {
    await cluster.lab.exec('h1', ['kill', '-STOP', pid]);
    await goOn();
    await eventually('libvirt to be at it', 20, async () => {
      const { stdout } = await cluster.lab.exec('h1', ['virsh', '-q', 'domcontrol', vmId]);
      if (/ok/.test(stdout)) throw new Error(stdout);
    });
    await cluster.lab.libvirtd('h1', 'kill');
    await cluster.lab.exec('h1', ['kill', '-CONT', pid]);
    await cluster.lab.libvirtd('h1', 'start');
  });
  t.match(said.stderr, said.code === 0 ? /^/ : /HYPERVISOR_UNAVAILABLE[^]*next: /, said.stderr);
  const after = await agrees(t, 'afterwards', said.code === 0 ? undefined : before);
  t.comment(`it ended with ${said.code ?? '?'}: ${after.disks.join()}`);
  if (said.code !== 0) await rig.ok(argv);
  await rig.inGuest('head -c 1048576 /dev/urandom >/tmp/b && dd if=/tmp/b of=/dev/vdb bs=64k conv=fsync');
  t.match(await rig.inGuest('head -c 1048576 /dev/vdb | cmp - /tmp/b && echo same'), /same/);
  await rig.ok(['vm', 'disk', 'remove', NAME, 'k', '--delete', '--yes']);
  await agrees(t, 'in the end', before);
});
