import t from 'tap';
import { vmService, volumeService } from '../../proto/services.js';
import type { HostVolume } from '../../proto/model/volume.js';
import { id } from '../store/documents.js';
import { blankVm, MIB, startRig } from './rig.js';

const rig = await startRig({ hosts: 2 });
t.teardown(() => rig.close());
const volumes = rig.client(volumeService);
const vms = rig.client(vmService);

const volume = (name: string, change: Partial<HostVolume> = {}): HostVolume => ({
  ...{ pool: 'default', name, format: 'qcow2', sizeBytes: 8 * MIB, actualBytes: 4096 },
  ...{ fromVm: '', fromDisk: '', usedBy: '', problem: '' },
  ...change,
});
const KEPT = `ostler-volume-${id('i', 7)}-data1.qcow2`;

void t.test('every host is asked; what several see is one volume', async (t) => {
  rig.volumes.set(id('h', 1), [
    volume(KEPT, { fromVm: id('i', 7), fromDisk: 'data1' }),
    volume('theirs.img', { format: 'raw', usedBy: 'not-ours' }),
    volume('bad.qcow2', { problem: 'It stands on "/etc/passwd".' }),
  ]);
  rig.volumes.set(id('h', 2), [volume(KEPT), volume('theirs.img', { format: 'raw' })]);
  const all = await volumes.listVolumes({});
  t.match(all.volumes, [
    { name: KEPT, host: id('h', 1), hostName: 'h1', fromDisk: 'data1', sizeBytes: 8 * MIB, usedBy: '' },
    { name: 'theirs.img', usedBy: 'not-ours' },
    { name: 'bad.qcow2', problem: /etc/ },
  ]);
  t.equal(all.volumes.length, 3, 'the pool of both hosts is one');
  t.same(
    (await volumes.listVolumes({ free: true })).volumes.map((one) => one.name),
    [KEPT],
    'C-076: unused ones',
  );
  t.same((await volumes.listVolumes({ pool: 'nosuch' })).volumes, []);
  await t.rejects(volumes.listVolumes({ host: 'nosuch' }), { code: 'NOT_FOUND', field: 'host' });
});

void t.test('a volume is one disk’s, whoever asks, and on which host ever', async (t) => {
  const disks = [
    { name: 'root', sizeBytes: 1024 * MIB },
    { name: 'old', volume: KEPT },
  ];
  const web1 = await rig.finished(await vms.createVm(blankVm('web1', { disks, placement: { host: 'h1' } })));
  t.equal(web1.error, null);
  const first = await volumes.listVolumes({});
  t.match(first.volumes[0], { name: KEPT, usedBy: 'web1' }, 'the record says it, though no domain does');

  const elsewhere = blankVm('web2', { disks, placement: { host: 'h2' } });
  const refusal = { code: 'IN_USE', field: 'spec.disks[1].volume', remedy: /ostler vm disk remove web1 old/ };
  await t.rejects(vms.createVm(elsewhere), refusal, 'C-076: in use on another host, too');
  await t.rejects(vms.createVm(blankVm('web2', { disks })), refusal);
  await rig.finished(await vms.createVm(blankVm('web2', { placement: { host: 'h2' } })));
  const add = { vm: 'web2', values: { spec: { disks } }, updateMask: { paths: ['spec.disks'] } };
  await t.rejects(vms.updateVm(add), refusal);
  await t.rejects(vms.updateVm({ ...add, validateOnly: true }), refusal, 'a dry run says so, too');

  await rig.finished(await vms.deleteVm({ vm: 'web1', force: true }));
  await t.rejects(vms.updateVm(add), refusal, 'until it is purged, a deleted VM can come back with its disks');
  await rig.finished(await vms.deleteVm({ vm: 'web1', expunge: true, force: true }));
  t.match((await volumes.listVolumes({})).volumes[0], { name: KEPT, usedBy: '' });
  const done = await rig.finished(await vms.updateVm(add));
  t.equal(done.error, null, done.error?.message ?? '');
  t.match((await volumes.listVolumes({})).volumes[0], { name: KEPT, usedBy: 'web2' });
});

void t.test('two at once: who comes second is refused while the first is still at it', async (t) => {
  const disks = [
    { name: 'root', sizeBytes: 1024 * MIB },
    { name: 'x', volume: 'theirs.img' },
  ];
  for (const name of ['a', 'b']) await rig.finished(await vms.createVm(blankVm(name, { placement: { host: 'h1' } })));
  rig.autoRun = false;
  const change = (vm: string) =>
    vms.updateVm({ vm, values: { spec: { disks } }, updateMask: { paths: ['spec.disks'] } });
  const first = await change('a');
  await t.rejects(change('b'), { code: 'IN_USE', message: /is a disk of a\./ });
  rig.autoRun = true;
  await rig.finished(first);
});

void t.test('a host that is away is named, not left out', async (t) => {
  rig.agents.cut(id('h', 2));
  const { volumes: seen, missing } = await volumes.listVolumes({});
  t.equal(seen.length, 3);
  t.match(missing, { h2: /away/ });
});
