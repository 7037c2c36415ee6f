import fc from 'fast-check';
import t from 'tap';
import { buildDiskXml, buildDomainXml, buildNicXml } from '../../agent/xml/build-domain.js';
import {
  addDevice,
  editDomain,
  removeDevice,
  removeRecord,
  setBootOrder,
  setDescription,
  setDiskSource,
  setMemory,
  setRecord,
  setTitle,
  setVcpus,
} from '../../agent/xml/edit.js';
import type { DomainEdit } from '../../agent/xml/edit.js';
import { parseRecord } from '../../agent/xml/metadata.js';
import { readDomain } from '../../agent/xml/read-domain.js';
import { CASES } from './cases.js';
import { canonical, changedLines, golden, schemaComplaint } from './judge.js';
import { anyRecord, cdrom, disk, HOSTILE_TEXTS, MIB, nic, sampleOptions, sampleRecord } from './sample.js';

/** As libvirt writes it, with what others put into a domain: none of it is ours to lose. */
const BEFORE = golden('live-everything.xml').replace(
  '</metadata>',
  "  <!-- theirs -->\n    <libosinfo:libosinfo xmlns:libosinfo='http://libosinfo.org/xmlns/libvirt/domain/1.0'>" +
    "<libosinfo:os id='http://debian.org/debian/12'/></libosinfo:libosinfo>\n  </metadata>",
);
const edited = (...edits: DomainEdit[]): string => editDomain(BEFORE, edits);

void t.test('no edit, no change', (t) => {
  t.equal(canonical(edited()), canonical(BEFORE));
  t.end();
});

void t.test('an edit changes its own lines and no others', (t) => {
  const changed = (...edits: DomainEdit[]) => changedLines(BEFORE, edited(...edits));
  t.same(changed(setTitle('새 이름 <2>')), {
    gone: ['<title>웹서버 &lt;1&gt; &amp; "둘" ]]&gt; 😀</title>'],
    come: ['<title>새 이름 &lt;2&gt;</title>'],
  });
  t.same(changed(setTitle('')).come, []);
  t.same(changed(setDescription('one')), {
    gone: ['<description>first line', 'second &lt;line&gt;</description>'],
    come: ['<description>one</description>'],
  });
  t.same(changed(setMemory(256 * MIB)), {
    gone: [
      '<memory unit="KiB">131072</memory>',
      '<currentMemory unit="KiB">131072</currentMemory>',
      '<cell cpus="0-7" id="0" memory="131072" unit="KiB"></cell>',
    ],
    come: [
      '<memory unit="KiB">262144</memory>',
      '<currentMemory unit="KiB">262144</currentMemory>',
      '<cell cpus="0-7" id="0" memory="262144" unit="KiB"></cell>',
    ],
  });
  t.same(changed(setVcpus(5)), {
    gone: ['<vcpu current="1" placement="static">8</vcpu>'],
    come: ['<vcpu current="5" placement="static">8</vcpu>'],
  });
  t.same(changed(setDiskSource('sdd', '/pool/other.iso')), {
    gone: [],
    come: ['<source file="/pool/other.iso"></source>'],
  });
  t.end();
});

void t.test('boot order: old places go, new ones come', (t) => {
  const after = edited(setBootOrder([{ mac: '52:54:00:12:34:57' }, { dev: 'vda' }]));
  const orders = [...after.matchAll(/<boot order="(\d)"/g)].map(([, order]) => order);
  t.same(orders, ['2', '1'], 'the disk second, the NIC first, the CD-ROM none');
  t.same(changedLines(BEFORE, after), { gone: ['<boot order="3"></boot>'], come: [] });
  t.end();
});

void t.test('our metadata changes, and goes, without touching anybody else’s', (t) => {
  const record = sampleRecord({ displayName: 'other', epoch: 9 });
  const after = edited(setRecord(record));
  const read = readDomain(after);
  t.match(parseRecord(read.metadata!), { ok: true, record: { displayName: 'other', epoch: 9 } });
  t.match(after, /<!-- theirs -->/);
  t.match(after, /<libosinfo:os id="http:\/\/debian\.org\/debian\/12"\/>/);
  t.equal(after.match(/<ostler:vm /g)?.length, 1);
  const gone = editDomain(after, [removeRecord()]);
  t.notMatch(gone, /ostler\.dev/);
  t.match(gone, /libosinfo:os/);
  const taken = editDomain('<domain>\n  <name>x</name>\n  <memory>1</memory>\n</domain>', [setRecord(record)]);
  t.match(taken, /<name>x<\/name>\n {2}<metadata><ostler:vm/);
  t.equal(
    canonical(editDomain(taken, [removeRecord()])),
    '<domain>\n  <name>x</name>\n  <memory>1</memory>\n</domain>',
  );
  t.end();
});

void t.test('a device comes and goes, and the domain is what it was', (t) => {
  const record = sampleRecord({ spec: { disks: [disk('root'), disk('more')], nics: [nic('net0')] } });
  const diskXml = buildDiskXml(record, record.spec.disks[1]!, { source: { path: '/p/more.qcow2', format: 'qcow2' } });
  const nicXml = buildNicXml(nic('net9', { mac: '52:54:00:00:00:99' }), { defaultBridge: 'br0' });
  const added = edited(addDevice(diskXml), addDevice(nicXml));
  t.same(
    readDomain(added).disks.map((one) => one.dev),
    ['vda', 'sda', 'sdd', 'sdzz', 'sdb', 'sdc', 'vdb'],
  );
  t.equal(readDomain(added).nics.at(-1)?.mac, '52:54:00:00:00:99');
  t.same(changedLines(BEFORE, added).gone, []);
  const back = editDomain(added, [removeDevice({ dev: 'vdb' }), removeDevice({ mac: '52:54:00:00:00:99' })]);
  t.equal(canonical(back), canonical(BEFORE));
  t.end();
});

void t.test('what cannot be edited says why', (t) => {
  t.throws(() => edited(setVcpus(9)), { name: 'XmlError', reason: 'unusable', field: 'spec.cpu.vcpus' });
  t.throws(() => edited(setVcpus(0)), { name: 'XmlError', reason: 'unusable' });
  t.throws(() => edited(setDiskSource('vdz', '/x')), { name: 'XmlError', reason: 'missing', message: /vdz/ });
  t.throws(() => edited(setDiskSource('vda', undefined)), { name: 'XmlError', reason: 'unusable' });
  t.throws(() => edited(removeDevice({ mac: '00:00:00:00:00:01' })), { name: 'XmlError', reason: 'missing' });
  t.throws(() => edited(addDevice('<disk>&xxe;</disk>')), { name: 'XmlError', reason: 'malformed' });
  t.throws(() => editDomain('<pool/>', []), { name: 'XmlError', reason: 'missing' });
  t.end();
});

void t.test('any title on any domain: one element differs, and the schema still takes it', (t) => {
  fc.assert(
    fc.property(anyRecord, fc.constantFrom(...HOSTILE_TEXTS.slice(0, 14)), (record, title) => {
      const before = buildDomainXml(record, sampleOptions(record));
      const after = editDomain(before, [setTitle(title), setDescription(title)]);
      t.equal(readDomain(after).title, title);
      const back = editDomain(after, [setTitle(record.displayName), setDescription(record.description)]);
      t.equal(back, before, 'and back again, byte for byte');
    }),
    { numRuns: 40 },
  );
  for (const one of CASES.slice(0, 3)) {
    const xml = buildDomainXml(one.record, one.options);
    t.equal(schemaComplaint(editDomain(xml, [setTitle('새 <이름>'), setDescription(''), setMemory(64 * MIB)])), '');
  }
  t.end();
});

void t.test('a CD-ROM is ejected and filled again', (t) => {
  const record = sampleRecord({ spec: { disks: [disk('root'), cdrom('iso')] } });
  const options = sampleOptions(record);
  const disks = new Map([...options.disks, ['iso', { path: '/p/a.iso', format: 'raw' as const }]]);
  const before = buildDomainXml(record, { ...options, disks });
  const empty = editDomain(before, [setDiskSource('sda', undefined)]);
  t.equal(readDomain(empty).disks[1]?.source, undefined);
  t.equal(editDomain(empty, [setDiskSource('sda', '/p/a.iso')]), before);
  t.end();
});
