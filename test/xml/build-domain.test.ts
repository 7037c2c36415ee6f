import fc from 'fast-check';
import t from 'tap';
import { buildDiskXml, buildDomainXml, buildNicXml } from '../../agent/xml/build-domain.js';
import { parseXml } from '../../agent/xml/document.js';
import { attribute, children, find, require, textOf } from '../../agent/xml/element.js';
import { parseRecord, withoutSecrets } from '../../agent/xml/metadata.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { displayNameSchema } from '../../proto/model/names.js';
import { CASES, xmlOf } from './cases.js';
import { goldenOr, schemaComplaint } from './judge.js';
import { anyRecord, cdrom, disk, HOSTILE_TEXTS, nic, sampleOptions, sampleRecord } from './sample.js';

void t.test('domains are what they were, and libvirt’s schema takes them', (t) => {
  for (const one of CASES) {
    const xml = xmlOf(one);
    t.equal(xml, goldenOr(`${one.name}.xml`, xml), one.name);
    t.equal(schemaComplaint(xml), '', `${one.name} against the schema`);
  }
  t.end();
});

void t.test('what was built reads back the same', (t) => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      const xml = buildDomainXml(record, sampleOptions(record));
      const read = readDomain(xml);
      const { spec } = record;
      const disks = spec.disks.map((one) => ({ bus: one.bus, device: one.device }));
      t.equal(read.uuid, record.uuid);
      t.equal(read.name, record.id);
      t.equal(read.title, record.displayName);
      t.equal(read.description ?? '', record.description);
      t.equal(read.memoryBytes, spec.memory.sizeBytes);
      t.equal(read.maxMemoryBytes ?? spec.memory.sizeBytes, spec.memory.maxSizeBytes);
      t.same([read.vcpus, read.maxVcpus], [spec.cpu.vcpus, spec.cpu.maxVcpus]); // V-13
      t.same(
        read.disks.slice(0, -1).map(({ bus, device }) => ({ bus, device })),
        disks,
      ); // V-16
      t.same(
        read.nics.map(({ mac, mtu, model }) => ({ mac, mtu: mtu ?? 0, model })),
        spec.nics.map(({ mac, mtu, model }) => ({ mac, mtu, model })),
      ); // V-17
      t.equal(new Set(read.disks.map((one) => one.dev)).size, read.disks.length, 'every disk has a name of its own');
      const parsed = read.metadata === undefined ? undefined : parseRecord(read.metadata);
      t.same(parsed, { ok: true, record: withoutSecrets(record) });
    }),
    { numRuns: 60 },
  );
  t.end();
});

void t.test('any VM that the model allows passes libvirt’s schema', (t) => {
  const complaint = fc
    .sample(anyRecord, { numRuns: 12, seed: 7 })
    .map((record) => schemaComplaint(buildDomainXml(record, sampleOptions(record))))
    .find((one) => one !== '');
  t.equal(complaint, undefined);
  t.end();
});

void t.test('hostile names go through unharmed or are refused at the edge', (t) => {
  let refused = 0;
  for (const text of HOSTILE_TEXTS) {
    if (!displayNameSchema.safeParse(text).success) {
      refused++;
      continue;
    }
    const record = sampleRecord({ displayName: text, description: text });
    const xml = buildDomainXml(record, sampleOptions(record));
    const read = readDomain(xml);
    t.equal(read.title, text);
    t.equal(read.description, text);
    t.match(parseRecord(read.metadata!), { ok: true, record: { displayName: text } });
    t.equal(children(parseXml(xml).root, 'title').length, 1, 'nothing of it became markup');
  }
  t.equal(refused, 5, 'those that XML cannot carry');
  t.end();
});

void t.test('the password hash stays out of the domain', (t) => {
  const record = sampleRecord();
  const hash = '$6$saltsalt$' + 'a'.repeat(86);
  const secret = { ...record, spec: { ...record.spec, cloudInit: { ...record.spec.cloudInit, passwordHash: hash } } };
  t.notMatch(buildDomainXml(secret, sampleOptions(secret)), /saltsalt/);
  t.end();
});

void t.test('boot order: as named, or disks and then NICs', (t) => {
  const spec = { disks: [disk('root'), cdrom('iso')], nics: [nic('net0')] };
  const orderOf = (bootOrder: string[]): (string | undefined)[] => {
    const record = sampleRecord({ spec: { ...spec, bootOrder } });
    const devices = require(parseXml(buildDomainXml(record, sampleOptions(record))).root, 'devices');
    return [...children(devices, 'disk'), ...children(devices, 'interface')].map((one) =>
      attribute(find(one, 'boot'), 'order'),
    );
  };
  t.same(orderOf(['iso', 'root', 'net0']), ['2', '1', undefined, '3'], 'the seed never boots'); // M-012
  t.same(orderOf(['root']), ['1', undefined, undefined, undefined]);
  t.same(orderOf([]), ['1', '2', undefined, '3']);
  t.end();
});

void t.test('CPU: levels become models that libvirt knows; AVX-512 is refused under emulation', (t) => {
  const modelOf = (model: string, virtType: 'kvm' | 'qemu') => {
    const record = sampleRecord({ spec: { cpu: { vcpus: 1, maxVcpus: 1, sockets: 1, cores: 1, threads: 1, model } } });
    const cpu = require(parseXml(buildDomainXml(record, sampleOptions(record, { virtType }))).root, 'cpu');
    const required = children(cpu, 'feature').filter((one) => attribute(one, 'policy') === 'require');
    return [
      attribute(cpu, 'mode'),
      textOf(find(cpu, 'model')),
      required.map((one) => attribute(one, 'name')).join(' '),
    ];
  };
  // V-14
  const v2aes = ['custom', 'qemu64', 'lahf_lm pni popcnt sse4.1 sse4.2 ssse3 aes'];
  t.same(modelOf('x86-64-v2-AES', 'kvm'), v2aes);
  t.same(modelOf('', 'qemu'), v2aes);
  t.same(modelOf('', 'kvm'), ['host-model', undefined, '']);
  t.same(modelOf('host-passthrough', 'kvm'), ['host-passthrough', undefined, '']);
  t.same(modelOf('host-passthrough', 'qemu'), ['maximum', undefined, '']);
  t.same(modelOf('EPYC-Rome', 'kvm'), ['custom', 'EPYC-Rome', '']);
  t.throws(() => modelOf('x86-64-v4', 'qemu'), { name: 'XmlError', reason: 'unusable', field: 'spec.cpu.model' });
  t.end();
});

void t.test('a host that cannot have the VM says why', (t) => {
  const record = sampleRecord({ spec: { disks: [disk('root'), disk('data')] } });
  const noFile = sampleOptions(record, { disks: new Map([['root', { path: '/x', format: 'qcow2' }]]) });
  t.throws(() => buildDomainXml(record, noFile), { reason: 'unusable', field: 'spec.disks', message: /data/ });
  t.throws(() => buildDomainXml(record, sampleOptions(record, { defaultBridge: '' })), {
    name: 'XmlError',
    field: 'spec.nics',
  });
  t.throws(() => buildDomainXml(record, sampleOptions(record, { seedPath: 'seed.iso' })), { message: /not absolute/ });
  const script = (order: number) => ({
    name: `s${order}`,
    order,
    stage: 'boot' as const,
    content: '&'.repeat(32 * 1024),
  });
  const base = record.spec.cloudInit;
  const large = sampleRecord({
    spec: { cloudInit: { ...base, scripts: Array.from({ length: 32 }, (_, i) => script(i)) } },
  });
  t.throws(() => buildDomainXml(large, sampleOptions(large)), {
    name: 'XmlError',
    reason: 'too-large',
    field: 'spec.cloud_init',
  });
  t.end();
});

void t.test('one device alone is the one in the domain, without a place in the boot order', (t) => {
  const record = sampleRecord({ spec: { disks: [disk('root'), disk('data', { bus: 'scsi' })] } });
  const source = { path: '/pool/data.qcow2', format: 'qcow2' as const };
  const alone = parseXml(buildDiskXml(record, record.spec.disks[1]!, { source })).root;
  t.equal(attribute(find(alone, 'target'), 'dev'), 'sda');
  t.equal(attribute(find(alone, 'source'), 'file'), '/pool/data.qcow2');
  t.equal(find(alone, 'boot'), undefined);
  t.equal(schemaComplaint(wrap(buildDiskXml(record, record.spec.disks[1]!, { source }))), '');
  t.equal(schemaComplaint(wrap(buildNicXml(nic('net9', { mtu: 1400 }), { defaultBridge: 'br0' }))), '');
  t.end();
});

function wrap(device: string): string {
  return `<domain type='qemu'><name>x</name><memory>1024</memory><os><type>hvm</type></os><devices>${device}</devices></domain>`;
}
