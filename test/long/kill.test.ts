import t, { type Test } from 'tap';
import { startCluster } from '../e2e/cluster.js';
import type { Daemon } from '../e2e/daemon.js';
import { judge, judgeAcknowledged, killAt, newName } from '../e2e/kill-loop.js';
import {
  gateEnv,
  hostOnline,
  LIFE,
  openGate,
  openKillRig,
  runVerb,
  supervise,
  tracePoints,
  verify,
} from '../e2e/kill-rig.js';

/**
 * kill -9 of agent and controller on real libvirt and QEMU, in full length: at every pass of every point, and then again and
 * again wherever it happens to be (its own recovery among it), each daemon alone and both at a time.
 */
const RANDOM_KILLS = Number(process.env['OSTLER_TEST_KILLS'] ?? '60');

const cluster = await startCluster();
const rig = openKillRig(cluster);
t.teardown(async () => {
  rig.close();
  await cluster.down();
});
await cluster.join('h1');
await cluster.importGuest();
const daemons = { agent: cluster.agent('h1'), controller: cluster.controller };
let total = 0;

for (const [which, daemon] of Object.entries(daemons)) {
  void t.test(`${which}: dies at every pass of each point`, async (t) => {
    const planned = await tracePoints(rig, daemon, newName(), 'ask');
    const tally = await killAt(t, rig, daemon, planned, { stop: 'ask', freshImage: which === 'agent' });
    judge(t, planned, tally);
    total += tally.kills;
  });
}

for (const [who, victims] of [
  ['agent', [daemons.agent]],
  ['controller', [daemons.controller]],
  ['both', [daemons.agent, daemons.controller]],
] as const) {
  void t.test(`${who}: dies again and again through whole lives`, async (t) => {
    let kills = 0;
    while (kills < RANDOM_KILLS) kills += await restlessLife(t, victims);
    total += kills;
    t.pass(`${kills} kills`);
  });
}

void t.test('enough kills, nothing lost', async (t) => {
  t.ok(total >= 200, `${total} kills in all`);
  await judgeAcknowledged(t, rig);
  t.same(await cluster.domains('h1'), []);
});

/** Of each victim, at most so many kills in one verb: it must come to an end. */
const KILLS_PER_VERB = 4;
let seed = 20261121;

/** Lehmer's generator: the same kills in every run, as far as the daemons' timing lets them. */
function chance(limit: number): number {
  seed = (seed * 48271) % 0x7fffffff;
  return 1 + (seed % limit);
}

async function restlessLife(t: Test, victims: readonly Daemon[]): Promise<number> {
  const name = newName();
  let kills = 0;
  for (const verb of LIFE) {
    await hostOnline(rig);
    const supervised: ReturnType<typeof supervise>[] = [];
    for (const daemon of victims) {
      let left = KILLS_PER_VERB;
      await daemon.stop();
      supervised.push(
        supervise(daemon, () =>
          (left -= 1) >= 0 ? { OSTLER_FAULT_KILL: `*#${chance(12)}`, ...gateEnv(cluster, verb) } : {},
        ),
      );
    }
    await hostOnline(rig);
    const closeGate = await openGate(cluster, verb);
    const operation = await runVerb(rig, verb, name, 'ask');
    await closeGate();
    const died = supervised.reduce((sum, one) => sum + one.kills, 0);
    for (const sentence of await verify(rig, verb, operation)) t.fail(`${verb} with ${died} kills: ${sentence}`);
    for (const one of supervised) await one.stop();
    for (const daemon of victims) await daemon.start();
    kills += died;
  }
  return kills;
}
