import { performance } from 'node:perf_hooks';
import { setImmediate } from 'node:timers/promises';
import t from 'tap';
import { STEPS_FROM_BYTES, decodeInSteps } from '../../agent/libvirt/decode-steps.js';
import { procedures } from '../../agent/libvirt/procedures.js';
import { XdrError, decode, encode } from '../../agent/libvirt/xdr.js';
import { statsRecords } from './stats-record.js';

const { ret } = procedures.connectGetAllDomainStats;
const wire = encode(ret, { retStats: statsRecords(1000) });

void t.test('1,000 domains x 52 fields: what comes out is right, and others run meanwhile', async (t) => {
  t.ok(wire.length > STEPS_FROM_BYTES, `${wire.length} bytes`);
  const { retStats } = await decodeInSteps(ret, wire);
  t.equal(retStats.length, 1000);
  t.ok(retStats.every((r) => r.stats.size === 52));
  t.strictSame(retStats[17], decode(ret, wire).retStats[17]);

  const worstGaps: number[] = [];
  for (let run = 0; run < 10; run++) {
    const state = { running: true };
    let worst = 0;
    const watch = (async () => {
      for (let last = performance.now(); state.running;) {
        await setImmediate();
        const now = performance.now();
        worst = Math.max(worst, now - last);
        last = now;
      }
    })();
    await decodeInSteps(ret, wire);
    state.running = false;
    await watch;
    worstGaps.push(worst);
  }
  // The best of ten runs: a gap that is not ours (another process on this core) is not in all of them.
  t.ok(Math.min(...worstGaps) < 15, `worst gaps of the event loop: ${worstGaps.map((g) => g.toFixed(1)).join(' ')} ms`);
});

void t.test('decoding takes at most 9 ms of CPU', async (t) => {
  const cpu: number[] = [];
  for (let run = 0; run < 30; run++) {
    const before = process.cpuUsage();
    await decodeInSteps(ret, wire);
    const used = process.cpuUsage(before);
    cpu.push((used.user + used.system) / 1000);
  }
  cpu.sort((x, y) => x - y);
  t.comment(`CPU ms: best ${cpu[0]!.toFixed(1)}, median ${cpu[15]!.toFixed(1)}`);
  // The lower quartile: caches and the collector's threads are shared with whatever else runs here.
  t.ok(cpu[7]! <= 9, `lower quartile ${cpu[7]!.toFixed(1)} ms`);
});

void t.test('bytes left over or missing are found in steps, too', async (t) => {
  await t.rejects(decodeInSteps(ret, Buffer.concat([wire, Buffer.alloc(4)])), XdrError);
  await t.rejects(decodeInSteps(ret, wire.subarray(0, wire.length - 4)), XdrError);
});
