import { inflateSync } from 'node:zlib';
import t from 'tap';
import { asPng } from '../../agent/drivers/screenshot.js';
import { vmRecordToWire, imageRefToWire } from '../../proto/convert.js';
import { sampleRecord } from '../rig/records.js';
import { commandFor, provisionOf, sampleImage, startOf } from './rig/commands.js';
import { createAgentRig } from './rig/joined-agent.js';

const record = sampleRecord();
const image = sampleImage();

/** A provisioned VM on an agent whose libvirt is a fake one. */
async function provisioned(t: { teardown: (action: () => Promise<void>) => void }) {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  rig.controller.images.set(image.ref.id, image.content);
  await rig.start();
  await rig.controller.command(provisionOf(record, 'make', [image.ref]));
  return rig;
}

void t.test('pause, resume, suspend, NMI and screen over the link; each done twice is done once', async (t) => {
  const { controller } = await provisioned(t);
  await controller.command(startOf(record, 'c1', [image.ref]));
  const run = async (id: string, body: object) => controller.command(commandFor(record, id, body));
  t.match(await run('p1', { pause: {} }), { ok: true, domain: { reason: 'user' } });
  t.match(await run('p2', { pause: {} }), { ok: true, facts: { already: 'true' } });
  t.match(await run('n1', { sendNmi: {} }), { ok: false, error: { reason: 'WRONG_STATE' } });
  t.match(await run('r1', { resume: {} }), { ok: true, domain: { reason: 'unpaused' } });
  t.match(await run('n2', { sendNmi: {} }), { ok: true });
  const shot = await controller.query({ id: 'q1', captureScreen: { vmUuid: record.uuid } });
  t.equal(Buffer.from(shot.screenshot?.data ?? []).toString('latin1', 1, 4), 'PNG');
  t.match(await run('s1', { suspend: {} }), { ok: true, domain: { reason: 'saved', exitCause: 'saved' } });
  t.match(await run('s2', { suspend: {} }), { ok: true, facts: { already: 'true' } });
  t.match(await controller.command(startOf(record, 'c2', [image.ref])), {
    ok: false,
    error: { reason: 'WRONG_STATE', message: /saved memory/ },
  });
  const rebuild = { rebuildRoot: { record: vmRecordToWire(record), images: [imageRefToWire(image.ref)] } };
  t.match(await run('b1', rebuild), { ok: false, error: { message: /saved memory/ } });
  t.match(await run('r2', { resume: {} }), { ok: true, domain: { reason: 'restored' } });
  t.match(await run('s3', { suspend: {} }), { ok: true });
  t.match(await run('d1', { shutdown: { force: true } }), { ok: true, facts: { dropped: 'true' } });
  t.match(await run('b2', rebuild), { ok: true });
  t.match(await controller.command(startOf(record, 'c3', [image.ref])), { ok: true, domain: { reason: 'booted' } });
  t.match(await run('b3', rebuild), { ok: false, error: { reason: 'WRONG_STATE' } });
});

/** The verbs that change something, what must be so before, and what is so afterwards however often they were cut off. */
const VERBS = [
  { verb: 'pause', body: { pause: {} }, first: [], ends: { state: 'paused', saved: false } },
  { verb: 'suspend', body: { suspend: {} }, first: [], ends: { state: 'shutoff', saved: true } },
  { verb: 'resume', body: { resume: {} }, first: [{ suspend: {} }], ends: { state: 'running', saved: false } },
  {
    verb: 'rebuild-root',
    body: { rebuildRoot: { record: vmRecordToWire(record), images: [imageRefToWire(image.ref)] } },
    first: [{ shutdown: { force: true } }],
    ends: { state: 'shutoff', saved: false },
  },
] as const;

void t.test('cut off at any point and run again, each verb ends where it should', async (t) => {
  const faults = { at: '', passed: [] as string[] };
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  const { controller, world } = rig;
  controller.images.set(image.ref.id, image.content);
  await rig.start({
    fault: (name) => {
      faults.passed.push(name);
      if (name !== faults.at) return;
      faults.at = '';
      throw new Error(`cut off at ${name}`);
    },
  });
  await controller.command(provisionOf(record, 'make', [image.ref]));
  let number = 0;
  const run = async (body: object) => controller.command(commandFor(record, `x${++number}`, body));
  const prepare = async (first: readonly object[]): Promise<void> => {
    await run({ shutdown: { force: true } });
    await controller.command(startOf(record, `x${++number}`, [image.ref]));
    for (const body of first) t.equal((await run(body)).ok, true);
  };
  for (const { verb, body, first, ends } of VERBS) {
    await prepare(first);
    faults.passed = [];
    t.equal((await run(body)).ok, true, verb);
    const points = [...new Set(faults.passed)].filter((name) => name.startsWith(`${verb}.`));
    t.ok(points.length > 0, `${verb}: ${points.join(' ')}`);
    for (const point of points) {
      await prepare(first);
      faults.at = point;
      t.equal((await run(body)).ok, false, point);
      t.equal((await run(body)).ok, true, `${point}, again`);
      t.match(world.controls.domains.get(record.uuid), ends, point);
    }
  }
});

void t.test('a screen in PPM becomes a PNG with the same pixels; anything else is refused', (t) => {
  const pixels = Buffer.from([255, 0, 0, 0, 255, 0, 0, 0, 255, 9, 8, 7, 6, 5, 4, 3, 2, 1]);
  const ppm = Buffer.concat([Buffer.from('P6\n3 2\n255\n'), pixels]);
  const png = asPng({ mimeType: 'image/x-portable-pixmap', data: ppm });
  t.equal(png.readUInt32BE(16), 3);
  t.equal(png.readUInt32BE(20), 2);
  const at = png.indexOf('IDAT');
  const rows = inflateSync(png.subarray(at + 4, at + 4 + png.readUInt32BE(at - 4)));
  t.same(rows, Buffer.concat([Buffer.from([0]), pixels.subarray(0, 9), Buffer.from([0]), pixels.subarray(9)]));
  t.equal(asPng({ mimeType: 'image/png', data: png }), png);
  for (const data of [Buffer.from('GIF89a'), ppm.subarray(0, 20), Buffer.alloc(0)])
    t.throws(() => asPng({ mimeType: '', data }), { code: 'HYPERVISOR_ERROR' });
  t.end();
});

void t.test('a restart that was asked for is told from one of the guest', async (t) => {
  const { controller, world } = await provisioned(t);
  await controller.command(startOf(record, 'c1', [image.ref]));
  const causes = async (count: number): Promise<(string | undefined)[]> =>
    controller.until(`${count} restarts`, (all) => {
      const events = all.flatMap(({ event }) => (event?.kind === 'domain.rebooted' ? [event.metadata?.['cause']] : []));
      return events.length >= count ? events : undefined;
    });
  await world.hypervisor.resetDomain(record.uuid);
  t.same(await causes(1), ['guest-reboot']);
  await controller.command(commandFor(record, 'r1', { reboot: {} }));
  t.same(await causes(2), ['guest-reboot', 'requested-reboot']);
  await world.hypervisor.resetDomain(record.uuid);
  t.equal((await causes(3))[2], 'requested-reboot', 'asked twice, by button and agent, a guest may reset twice');
});
