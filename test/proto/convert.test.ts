import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { vmRecordFromWire, vmRecordToWire, vmSpecToWire } from '../../proto/convert.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { sampleRecord } from '../rig/records.js';

const { VmRecord } = ostler.v1;

void t.test('a record survives the wire, in every script', async (t) => {
  const record = sampleRecord({ displayName: '웹 서버 <1> & "둘"', description: 'line one\nline two' });
  const there = VmRecord.encode(vmRecordToWire(record)).finish();
  t.same(vmRecordFromWire(VmRecord.decode(there), 'record'), record);
  await Promise.resolve();
});

void t.test('what leaves for a person carries no secret', async (t) => {
  const record = sampleRecord();
  const spec = vmSpecToWire(record.spec, { secrets: false });
  t.equal(spec.cloudInit?.passwordHash, '********');
  t.equal(spec.cloudInit?.userData, '');
  t.notMatch(JSON.stringify(spec), record.spec.cloudInit.passwordHash);
  await Promise.resolve();
});

void t.test('a bad field is named as the API spells it', async (t) => {
  const wrong: [string, (record: ReturnType<typeof vmRecordToWire>) => void][] = [
    ['record.spec.disks[0].size_bytes', (r) => (r.spec!.disks![0]!.sizeBytes = -512)],
    ['record.spec.disks[0].bus', (r) => Object.assign(r.spec!.disks![0]!, { bus: 99 })],
    ['record.name', (r) => (r.name = 'a_b')],
    ['record.display_name', (r) => (r.displayName = 'a\u0000b')],
    ['record.spec.nics[0].mac', (r) => (r.spec!.nics![0]!.mac = '01:00:00:00:00:01')],
    ['record.spec.cpu.max_vcpus', (r) => (r.spec!.cpu!.vcpus = 4)],
  ];
  for (const [field, spoil] of wrong) {
    const wire = vmRecordToWire(sampleRecord());
    spoil(wire);
    t.throws(() => vmRecordFromWire(wire, 'record'), { code: 'INVALID_FIELD', field }, field);
  }
  t.throws(() => vmRecordFromWire(undefined, 'record'), OstlerError);
  await Promise.resolve();
});
