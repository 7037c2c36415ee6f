import t from 'tap';
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
