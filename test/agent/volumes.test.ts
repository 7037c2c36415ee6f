import t from 'tap';
import { makeQcow2 } from '../../agent/fake/qcow2.js';
import { imageRefToWire, vmRecordToWire } from '../../proto/convert.js';
import { MIB, type VmRecord } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';
import { commandFor, IMAGE_ID, provisionOf, sampleImage } from './rig/commands.js';
import { createAgentRig } from './rig/joined-agent.js';

/** C-076: volumes that no VM has any more are listed, given to disks again, and never lost with what they stand on. */
const image = sampleImage();
const base = sampleRecord();
const data = { name: 'data1', image: '', sizeBytes: 8 * MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' } as const; // prettier-ignore
const withDisks = (record: VmRecord, ...disks: VmRecord['spec']['disks']): VmRecord => ({
  ...record,
  spec: { ...record.spec, disks: [...record.spec.disks, ...disks], bootOrder: [] },
});
const other = sampleRecord({
  ...{ id: 'i-9999999999', uuid: '6f1c2d3e-4a5b-4c6d-8e7f-000000000009', name: 'other' },
  spec: { ...base.spec, nics: base.spec.nics.map((nic) => ({ ...nic, mac: '52:54:00:99:99:99' })) },
});
const applyOf = (id: string, previous: VmRecord, record: VmRecord, deleteVolumes = false) =>
  commandFor(record, id, {
    apply: { ...{ previous: vmRecordToWire(previous), record: vmRecordToWire(record) }, images: [imageRefToWire(image.ref)], deleteVolumes }, // prettier-ignore
  });

async function started(t: { teardown: (action: () => Promise<void>) => void }) {
  const rig = await createAgentRig();
  t.teardown(() => rig.stop());
  rig.controller.images.set(image.ref.id, image.content);
  await rig.start();
  const pool = `${rig.directory}/pool`;
  let queries = 0;
  const volumes = async () => {
    queries += 1;
    const answer = await rig.controller.query({ id: `q${queries}`, listVolumes: {} });
    return answer.volumes?.volumes ?? [];
  };
  return { rig, volumes, files: rig.world.files, pool };
}

void t.test('what a removed disk leaves behind, until it is a disk again', async (t) => {
  const { rig, volumes, files, pool } = await started(t);
  const two = withDisks(base, data);
  await rig.controller.command(provisionOf(two, 'make', [image.ref]));
  t.same(await volumes(), [], 'files of VMs and images are not in the list');
  t.match(await rig.controller.command(applyOf('a1', two, base)), { ok: true });
  const kept = `ostler-volume-${base.id}-data1.qcow2`;
  const facts = {
    pool: 'default',
    name: kept,
    format: 'qcow2',
    sizeBytes: 8 * MIB,
    fromVm: base.id,
    fromDisk: 'data1',
  };
  t.match(await volumes(), [{ ...facts, usedBy: '', problem: '' }]);

  files.set(`${pool}/notes.txt`, Buffer.from('x'));
  files.set(`${pool}/old.img`, Buffer.alloc(4096));
  files.set(`${pool}/liar.qcow2`, Buffer.alloc(4096));
  files.set(`${pool}/far.qcow2`, makeQcow2(MIB, { path: '/etc/passwd', format: 'raw' }));
  const names = ['far.qcow2', 'liar.qcow2', 'old.img', kept];
  t.same((await volumes()).map((one) => one.name), names, 'and what other people put there'); // prettier-ignore
  t.match(await volumes(), [
    { problem: /stands on "\/etc\/passwd"/, usedBy: '' },
    { problem: /is of format raw, by its name qcow2/ },
    { format: 'raw', problem: '', fromVm: '' },
    { problem: '' },
  ]);

  await rig.controller.command(provisionOf(other, 'make2', [image.ref]));
  const taken = withDisks(other, { ...data, name: 'again', volume: kept });
  t.match(await rig.controller.command(applyOf('a2', other, taken)), { ok: true });
  t.match((await volumes()).at(-1), { name: kept, usedBy: other.id });
  const twice = withDisks(base, { ...data, name: 'mine', volume: kept });
  const refused = { ok: false, error: { reason: 'IN_USE', remedy: 'Take it out of that VM first.' } };
  t.match(await rig.controller.command(applyOf('a3', base, twice)), refused);
  t.match(await rig.controller.command(applyOf('a4', taken, other)), { ok: true });
  t.match((await volumes()).at(-1), { name: kept, usedBy: '' }, 'it keeps its name when it is left behind again');
  const gone = withDisks(base, { ...data, name: 'mine', volume: 'ostler-volume-nothing.qcow2' });
  const missing = { ok: false, error: { reason: 'NOT_FOUND', remedy: /ostler volume list --free/ } };
  t.match(await rig.controller.command(applyOf('a5', base, gone)), missing);
});

void t.test('a volume beneath snapshots is in use, although no domain names it', async (t) => {
  const { rig, volumes, files, pool } = await started(t);
  files.set(`${pool}/old.qcow2`, makeQcow2(8 * MIB));
  const has = withDisks(base, { ...data, volume: 'old.qcow2' });
  await rig.controller.command(provisionOf(has, 'make', [image.ref]));
  const { hypervisor } = rig.world;
  const xml = await hypervisor.domainXml(base.uuid, { inactive: true });
  await hypervisor.defineDomain(
    xml.replaceAll(/file="[^"]*old\.qcow2"/g, `file="${pool}/ostler-${base.id}-data1.1.qcow2"`),
  );
  t.match(await volumes(), [{ name: 'old.qcow2', usedBy: base.id }]);
  await rig.controller.command(provisionOf(other, 'make2', [image.ref]));
  const wants = withDisks(other, { ...data, volume: 'old.qcow2' });
  t.match(await rig.controller.command(applyOf('a1', other, wants)), { ok: false, error: { reason: 'IN_USE' } });
});

void t.test('the image beneath a kept volume stays', async (t) => {
  const { rig, volumes, files, pool } = await started(t);
  const copy = { ...data, name: 'copy', image: IMAGE_ID, sizeBytes: 0 };
  const two = withDisks(base, copy);
  await rig.controller.command(provisionOf(two, 'make', [image.ref]));
  t.match(await rig.controller.command(applyOf('a1', two, base)), { ok: true });
  t.match(await rig.controller.command(commandFor(base, 'x1', { expunge: { record: vmRecordToWire(base) } })), {
    ok: true,
  });
  t.match(await volumes(), [{ name: `ostler-volume-${base.id}-copy.qcow2`, problem: '' }], 'its VM is gone, it is not');
  const forget = { id: 'f1', forgetImage: { image: IMAGE_ID } };
  t.match(await rig.controller.command(forget), { ok: false, error: { reason: 'IN_USE', message: /stands on/ } });
  const file = `${pool}/ostler-image-${IMAGE_ID}.qcow2`;
  t.ok(files.has(file));
  files.delete(`${pool}/ostler-volume-${base.id}-copy.qcow2`);
  t.match(await rig.controller.command({ ...forget, id: 'f2' }), { ok: true });
  t.notOk(files.has(file));
});
