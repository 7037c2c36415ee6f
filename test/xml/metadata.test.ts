import fc from 'fast-check';
import t from 'tap';
import { metadataXml, parseRecord, readMetadataXml, recordJson, withoutSecrets } from '../../agent/xml/metadata.js';
import { anyRecord, sampleRecord } from './sample.js';

void t.test('a record survives the element that libvirt’s set-metadata takes', (t) => {
  fc.assert(
    fc.property(anyRecord, (record) => {
      const read = readMetadataXml(metadataXml(record));
      t.match(read, { id: record.id, epoch: record.epoch });
      t.same(parseRecord(read), { ok: true, record: withoutSecrets(record) });
    }),
    { numRuns: 50 },
  );
  t.end();
});

void t.test('text that XML would bend is escaped in the record', (t) => {
  const base = sampleRecord();
  const userData = '#cloud-config\r\n# \u0085 \u2028 ]]> &#0; <![CDATA[ \t\n';
  const record = { ...base, spec: { ...base.spec, cloudInit: { ...base.spec.cloudInit, userData } } };
  t.match(parseRecord(readMetadataXml(metadataXml(record))), {
    ok: true,
    record: { spec: { cloudInit: { userData } } },
  });
  t.end();
});

void t.test('a record that cannot be read says why', (t) => {
  const record = sampleRecord();
  const why = (json: string, id = record.id, epoch = record.epoch): string => {
    const parsed = parseRecord({ id, epoch, json });
    return parsed.ok ? '' : parsed.reason;
  };
  const good = recordJson(record);
  t.equal(why(good), '');
  t.equal(why(''), 'there is no record');
  t.equal(why(good.slice(1)), 'the record is not JSON');
  t.match(why('[]'), /^the record: /);
  t.match(why(good.replace('"epoch":3', '"epoch":-1')), /^epoch: /);
  t.match(why(good.replace('"labels"', '"lables"')), /^labels: |^lables/);
  t.match(why(good.replace('"virtio"', '"ide"')), /^spec\.disks\.0\.bus: /);
  t.match(why(good.replace('{', '{"extra":1,')), /^extra: /);
  t.match(why(good, 'i-9876543210'), /of i-0123456789, the element of i-9876543210/);
  t.match(why(good, record.id, 2), /epoch 3, the element 2/);
  t.match(readMetadataXml('<vm id="i-1"><other>x</other></vm>'), { id: 'i-1', epoch: -1, json: '' });
  t.end();
});
