import t from 'tap';
import { startCluster } from './cluster.js';
import { judge, judgeAcknowledged, killAt, newName } from './kill-loop.js';
import { openKillRig, tracePoints } from './kill-rig.js';

/**
 * kill -9 of agent and controller at every step of create, start, stop and delete, on real libvirt and QEMU: the agent each
 * time it passes a point, the controller at each point's first pass (test/long: at every one, and again and again).
 */
const cluster = await startCluster();
const rig = openKillRig(cluster);
t.teardown(async () => {
  rig.close();
  await cluster.down();
});
await cluster.join('h1');
await cluster.importGuest();

for (const which of ['agent', 'controller'] as const) {
  const daemon = which === 'agent' ? cluster.agent('h1') : cluster.controller;
  void t.test(`${which}: dies once at each point`, async (t) => {
    const passes = await tracePoints(rig, daemon, newName(), 'force');
    const planned = which === 'agent' ? passes : passes.filter(({ nth }) => nth === 1);
    judge(t, planned, await killAt(t, rig, daemon, planned, { stop: 'force', freshImage: which === 'agent' }));
  });
}

void t.test('no acknowledged operation is lost', async (t) => {
  await judgeAcknowledged(t, rig);
  t.same(await cluster.domains('h1'), []);
});
