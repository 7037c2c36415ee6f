import { rm, writeFile } from 'node:fs/promises';
import t, { type Test } from 'tap';
import { startCluster } from './cluster.js';
import { argvOf, gateOf, LIFE, orphans, settled, supervise, tracePoints } from './kill-rig.js';
import type { VmJson } from './vm-view.js';

/**
 * kill -9 of agent and controller at every step of create, start, stop and delete, on real libvirt. Every fault point is hit
 * once by itself; then whole lives are run while a daemon dies again and again after a few more points, as many times as
 * KILLS says (the long tier asks for more).
 */
const KILLS = Number(process.env['OSTLER_TEST_KILLS'] ?? '200');

const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.importGuest();
let made = 0;
let killed = 0;
const newName = (): string => `vm${++made}`;

/** Asks until the request is taken: a controller that dies while it is asked may or may not have stored it. */
async function insist(argv: readonly string[]): Promise<void> {
  for (let attempt = 0; attempt < 60; attempt += 1) {
    const result = await cluster.ostler([...argv, '--no-wait']);
    if (result.code === 0) return;
    // The earlier try was stored after all: the work is under way, or done already.
    if (
      /OPERATION_RUNNING|ALREADY_EXISTS|WRONG_STATE|NOT_FOUND/.test(result.stderr + JSON.stringify(result)) ||
      [3, 4].includes(result.code ?? 0)
    )
      return;
    await new Promise((resolve) => setTimeout(resolve, 200));
  }
  throw new Error(`nobody takes: ${argv.join(' ')}`);
}

/** Whatever was killed, in the end the VM is as asked, or the operation failed with a reason and took everything back. */
async function checkVm(t: Test, name: string, verb: (typeof LIFE)[number], where: string): Promise<void> {
  const operations = await settled(cluster);
  const last = operations.find((one) => one.kind.startsWith('vm.'));
  const vm = (await cluster.json<VmJson[]>(['vm', 'list'])).find((one) => one.name === name);
  const expected = { create: 'CREATED', start: 'RUNNING', stop: 'STOPPED', delete: undefined }[verb];
  if (vm?.state !== expected)
    t.fail(`${where}: the VM is ${vm?.state ?? 'gone'}, the operation ${last?.state}: ${last?.error?.message}`);
  const wrong = await orphans(cluster);
  if (wrong.length > 0) t.fail(`${where}: ${wrong.join('; ')}`);
}

for (const which of ['agent', 'controller'] as const) {
  const daemon = which === 'agent' ? cluster.agent('h1') : cluster.controller;

  void t.test(`${which}: dies once at each point`, async (t) => {
    const points = await tracePoints(cluster, daemon, newName());
    for (const verb of LIFE) t.ok(points[verb].length > 0, `${verb} has ${points[verb].length} points`);
    for (const verb of LIFE) {
      const seen = new Map<string, number>();
      for (const point of points[verb]) {
        const nth = (seen.get(point) ?? 0) + 1;
        seen.set(point, nth);
        const name = newName();
        // Bring the VM to where the verb begins, undisturbed.
        await daemon.start();
        await cluster.online('h1');
        for (const before of LIFE.slice(0, LIFE.indexOf(verb))) {
          const result = await cluster.ostler(argvOf(before, name));
          if (result.code !== 0) throw new Error(`${before}: ${result.stderr}`);
        }
        await daemon.stop();
        let armed = true;
        const supervised = supervise(daemon, () => {
          const fault = armed ? { OSTLER_FAULT_KILL: `${point}#${nth}`, OSTLER_FAULT_GATE: gateOf(cluster) } : {};
          armed = false;
          return fault;
        });
        await cluster.online('h1');
        await writeFile(gateOf(cluster), '');
        await insist(argvOf(verb, name));
        await checkVm(t, name, verb, `${which} killed at ${verb} ${point}#${nth}`);
        await rm(gateOf(cluster));
        if (supervised.kills() === 0) t.fail(`${verb} ${point}#${nth} was not hit`);
        killed += supervised.kills();
        if (verb !== 'delete') {
          await insist(argvOf('delete', name));
          await settled(cluster);
        }
        await supervised.stop();
      }
      t.pass(`${verb}: ${points[verb].length} kills`);
    }
    await daemon.start();
    await cluster.online('h1');
  });

  void t.test(`${which}: dies again and again through whole lives`, async (t) => {
    await daemon.stop();
    let seed = 1;
    const chance = (limit: number): number => {
      seed = (seed * 48271) % 0x7fffffff;
      return seed % limit;
    };
    const target = which === 'agent' ? Math.max(0, (KILLS - killed) / 2) : Math.max(0, KILLS - killed);
    let total = 0;
    while (total < target) {
      const name = newName();
      for (const verb of LIFE) {
        let left = 5;
        const supervised = supervise(daemon, () =>
          (left -= 1) >= 0 ? { OSTLER_FAULT_KILL: `*#${1 + chance(7)}` } : {},
        );
        await insist(argvOf(verb, name));
        await checkVm(t, name, verb, `${which}, life ${name}, ${verb}, ${supervised.kills()} kills`);
        total += supervised.kills();
        await supervised.stop();
      }
    }
    killed += total;
    t.pass(`${total} kills in whole lives`);
    await daemon.start();
    await cluster.online('h1');
  });
}

void t.test('enough kills', async (t) => {
  t.ok(killed >= KILLS, `${killed} kills in all`);
  t.same(await cluster.domains('h1'), []);
  await Promise.resolve();
});
