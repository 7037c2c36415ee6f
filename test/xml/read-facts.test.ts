import t from 'tap';
import { diskTargets } from '../../agent/core/disk-target.js';
import { NO_LIMITS } from '../../agent/core/domain-facts.js';
import { buildDiskXml, buildDomainXml, buildNicXml } from '../../agent/xml/build-domain.js';
import { buildMemoryXml, buildScsiControllerXml, resizeMemoryXml } from '../../agent/xml/build-memory.js';
import { editDomain, addDevice } from '../../agent/xml/edit.js';
import { readFacts } from '../../agent/xml/read-facts.js';
import { MIB, type Disk } from '../../proto/model/vm.js';
import { sampleRecord } from '../rig/records.js';

/** What a change reads of a domain, and the devices that it plugs in: in and out. */
const limits = { ...NO_LIMITS, readBytesPerSecond: 10 * MIB, writeIops: 50 };
const base = sampleRecord();
const data: Disk = { ...base.spec.disks[0]!, name: 'data', image: '', bus: 'scsi', limits };
const record = sampleRecord({
  spec: { ...base.spec, memory: { sizeBytes: 128 * MIB, maxSizeBytes: 512 * MIB }, disks: [base.spec.disks[0]!, data] },
});
const disks = new Map(
  record.spec.disks.map((disk) => [disk.name, { path: `/pool/${disk.name}.qcow2`, format: 'qcow2' as const }]),
);
const built = buildDomainXml(record, { virtType: 'qemu', disks, serialLogPath: '/log', defaultBridge: 'br0' });

void t.test('of a definition that we built', (t) => {
  t.match(readFacts(built), {
    vcpus: 1,
    maxVcpus: 2,
    bootMemoryBytes: 128 * MIB,
    maxMemoryBytes: 512 * MIB,
    memory: [],
    disks: [
      { serial: 'root', dev: 'vda', bus: 'virtio', path: '/pool/root.qcow2', alias: '', limits: NO_LIMITS },
      { serial: 'data', dev: 'sda', bus: 'scsi', address: { controller: 0, target: 0, unit: 0 }, limits },
    ],
    nics: [{ mac: '52:54:00:00:00:01', alias: '', tap: '' }],
    bootOrder: ['root', '52:54:00:00:00:01'],
    hasScsi: true,
  });
  t.end();
});

void t.test('ports that devices sit on are taken', (t) => {
  const ports = readFacts(built).freePorts;
  t.ok(ports >= 6, `${ports}`);
  const nic = buildNicXml(record.spec.nics[0]!, { defaultBridge: 'br0' });
  const placed = nic.replace(
    '</interface>',
    "<address type='pci' domain='0x0000' bus='0x03' slot='0x00' function='0x0'/></interface>",
  );
  t.equal(readFacts(editDomain(built, [addDevice(placed)])).freePorts, ports - 1);
  t.end();
});

void t.test('memory devices', (t) => {
  const mem = buildMemoryXml({
    model: 'virtio-mem',
    sizeBytes: 384 * MIB,
    requestedBytes: 128 * MIB,
    blockBytes: 2 * MIB,
  });
  t.equal(
    mem.replace(/\s*\n\s*/g, ''),
    '<memory model="virtio-mem"><target><size unit="KiB">393216</size><node>0</node><block unit="KiB">2048</block>' +
      '<requested unit="KiB">131072</requested></target></memory>',
  );
  // As libvirt shows it of a running domain: with what the guest has taken, alias and address.
  const live = editDomain(built, [
    addDevice(
      mem
        .replace('</target>', "<current unit='KiB'>65536</current></target>")
        .replace('</memory>', "<alias name='virtiomem0'/><address type='pci' bus='0x05' slot='0x00'/></memory>"),
    ),
  ]).replace(/(<memory unit="KiB">)131072/, '$1524288');
  const facts = readFacts(live);
  t.equal(facts.bootMemoryBytes, 128 * MIB, 'what was plugged in does not count');
  const device = { model: 'virtio-mem', alias: 'virtiomem0', sizeBytes: 384 * MIB, blockBytes: 2 * MIB };
  t.same(facts.memory, [{ ...device, requestedBytes: 128 * MIB, currentBytes: 64 * MIB }]);
  const resized = resizeMemoryXml(live, 'virtiomem0', 256 * MIB);
  t.match(resized, /<requested unit="KiB">262144<\/requested>/);
  t.match(
    resized,
    /<alias name="virtiomem0"\/><address type="pci" bus="0x05" slot="0x00"\/>/,
    'libvirt finds it by these',
  );
  t.throws(() => resizeMemoryXml(live, 'other', MIB), { message: /no memory device other/ });
  t.match(
    buildMemoryXml({ model: 'dimm', sizeBytes: 128 * MIB }),
    /<memory model="dimm">[^]*131072[^]*<node>0<\/node>/,
  );
  t.end();
});

void t.test('disks, NICs and controllers that are plugged in', (t) => {
  const source = { path: '/pool/data.qcow2', format: 'qcow2' } as const;
  const target = diskTargets(record.spec.disks).get('data')!;
  t.match(
    buildDiskXml(record, data, { source, target }),
    /<iotune>\s*<read_bytes_sec>10485760<\/read_bytes_sec>\s*<write_iops_sec>50<\/write_iops_sec>\s*<\/iotune>/,
  );
  t.equal(buildScsiControllerXml(), '<controller type="scsi" index="0" model="virtio-scsi"/>');
  t.throws(() => buildNicXml({ ...record.spec.nics[0]!, vlan: 7 }, { defaultBridge: 'br0' }), {
    message: /VLAN 7.*Name a bridge that is in that VLAN/, // V-17
  });
  t.end();
});
