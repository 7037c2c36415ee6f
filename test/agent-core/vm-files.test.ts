import fc from 'fast-check';
import t from 'tap';
import {
  diskFileName,
  imageFileName,
  orphanFiles,
  parseFileName,
  seedFileName,
  vmFilesOf,
} from '../../agent/core/vm-files.js';

const anyVmId = fc.stringMatching(/^i-[0-9a-hjkmnp-tv-z]{10,16}$/);
const anyDiskName = fc.stringMatching(/^[a-z][a-z0-9-]{0,30}$/);

void t.test('a name tells whose file it is, whatever the disk is called', (t) => {
  fc.assert(
    fc.property(anyVmId, anyDiskName, (vmId, diskName) => {
      t.same(parseFileName(diskFileName(vmId, diskName)), { kind: 'disk', vmId, diskName });
      t.same(parseFileName(seedFileName(vmId)), { kind: 'seed', vmId });
    }),
    { numRuns: 200 },
  );
  t.same(parseFileName(imageFileName('img-0123456789', 'iso')), {
    kind: 'image',
    imageId: 'img-0123456789',
    format: 'iso',
  });
  t.end();
});

void t.test('expunging a VM takes its files and nobody else’s', (t) => {
  const mine = ['ostler-i-0123456789-root.qcow2', 'ostler-i-0123456789-seed.iso', 'ostler-i-0123456789-a-b.qcow2'];
  const others = [
    'ostler-i-01234567890-root.qcow2',
    'ostler-i-012345678-root.qcow2',
    'ostler-i-0123456789.qcow2',
    'ostler-i-0123456789-root.qcow2.bak',
    'xostler-i-0123456789-root.qcow2',
    'ostler-i-0123456789-ROOT.qcow2',
    'ostler-i-0123456789-.qcow2',
    'ostler-i-0123456789-root.iso',
    'ostler-image-img-0123456789.qcow2',
    'ostler-image-i-0123456789.qcow2',
    'i-0123456789-root.qcow2',
    '../ostler-i-0123456789-root.qcow2',
    'ostler-i-0123456789-root.qcow2\n',
    '',
  ];
  t.same(vmFilesOf('i-0123456789', [...others, ...mine]), mine);
  t.same(vmFilesOf('', [...others, ...mine]), []);
  fc.assert(
    fc.property(anyVmId, anyVmId, anyDiskName, (one, other, name) => {
      const listing = [diskFileName(other, name), seedFileName(other)];
      t.same(vmFilesOf(one, listing), one === other ? listing : []);
    }),
    { numRuns: 200 },
  );
  t.end();
});

void t.test('orphans are files of VMs that nobody knows', (t) => {
  const listing = [
    seedFileName('i-1111111111'),
    diskFileName('i-2222222222', 'root'),
    'notes.txt',
    imageFileName('img-0123456789', 'raw'),
  ];
  t.same([...orphanFiles(new Set(['i-1111111111']), listing)], [['i-2222222222', ['ostler-i-2222222222-root.qcow2']]]);
  t.end();
});
