import t from 'tap';
import { readDomain } from '../../agent/xml/read-domain.js';
import { withLiveTargets } from '../../agent/xml/live-targets.js';

/** `serial:bus:dev` each. */
const domain = (...disks: readonly string[]): string => {
  const lines = disks.map((one) => {
    const [serial = '', bus = '', dev = ''] = one.split(':');
    const file = `<source file='/p/${serial}'/>`;
    return `<disk type='file' device='disk'>${file}<target dev='${dev}' bus='${bus}'/><serial>${serial}</serial></disk>`;
  });
  const head = '<name>i</name><uuid>6f1c2d3e-4a5b-4c6d-8e7f-0123456789ab</uuid><memory>1</memory>';
  return `<domain type='qemu'>${head}<devices>${lines.join('')}</devices></domain>`;
};
const aligned = (definition: readonly string[], live: readonly string[]): string[] =>
  readDomain(withLiveTargets(domain(...definition), domain(...live))).disks.map(
    ({ serial = '', bus, dev }) => `${serial}:${bus}:${dev}`,
  );

void t.test('a definition has the targets of the running domain', (t) => {
  const record = ['root:virtio:vda', 'b:virtio:vdb', 'c:virtio:vdc'];
  const cases: readonly (readonly [string, readonly string[], readonly string[]])[] = [
    ['nothing moved', record, record],
    [
      'two have changed places',
      ['root:virtio:vda', 'c:virtio:vdb', 'b:virtio:vdc'],
      ['root:virtio:vda', 'b:virtio:vdc', 'c:virtio:vdb'],
    ],
    [
      'one has moved up',
      ['root:virtio:vda', 'c:virtio:vdc', 'b:virtio:vdd'],
      ['root:virtio:vda', 'b:virtio:vdd', 'c:virtio:vdc'],
    ],
    [
      'one that does not run makes way',
      ['root:virtio:vda', 'b:virtio:vdc'],
      ['root:virtio:vda', 'b:virtio:vdc', 'c:virtio:vdb'],
    ],
    ['another bus at the next start', ['root:virtio:vda', 'b:scsi:sda', 'c:virtio:vdc'], record],
  ];
  for (const [what, live, expected] of cases) t.same(aligned(record, live), expected, what);
  t.same(aligned(record, ['root:virtio:vda']), record, 'nor is one renamed that has its letter for itself');
  t.end();
});
