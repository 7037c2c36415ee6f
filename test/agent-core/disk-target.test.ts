import t from 'tap';
import { diskSerial, diskTargets, driveLetters, freeDiskTarget, SEED_TARGET } from '../../agent/core/disk-target.js';
import { cdrom, disk } from '../xml/sample.js';

void t.test('drive letters count as Linux counts them', (t) => {
  t.same([0, 25, 26, 51, 52, 701, 702].map(driveLetters), ['a', 'z', 'aa', 'az', 'ba', 'zz', 'aaa']);
  t.end();
});

void t.test('targets: virtio and sd count apart, each bus has its own places', (t) => {
  const disks = [disk('a'), disk('b', { bus: 'scsi' }), cdrom('c'), disk('d'), disk('e', { bus: 'scsi' })];
  t.same(
    [...diskTargets(disks)],
    [
      ['a', { dev: 'vda', bus: 'virtio', address: undefined }],
      ['b', { dev: 'sda', bus: 'scsi', address: { controller: 0, target: 0, unit: 0 } }],
      ['c', { dev: 'sdb', bus: 'sata', address: { controller: 0, target: 0, unit: 0 } }],
      ['d', { dev: 'vdb', bus: 'virtio', address: undefined }],
      ['e', { dev: 'sdc', bus: 'scsi', address: { controller: 0, target: 1, unit: 0 } }],
    ],
  );
  const sata = Array.from({ length: 8 }, (_, i) => disk(`s${i}`, { bus: 'sata' }));
  t.same(diskTargets(sata).get('s7')?.address, { controller: 1, target: 0, unit: 1 });
  t.end();
});

void t.test('a disk added to a running VM takes what is free', (t) => {
  const taken = [...diskTargets([disk('a'), disk('b', { bus: 'scsi' }), cdrom('c')]).values(), SEED_TARGET];
  t.same(freeDiskTarget('virtio', taken), { dev: 'vdb', bus: 'virtio', address: undefined });
  t.same(freeDiskTarget('scsi', taken), { dev: 'sdc', bus: 'scsi', address: { controller: 0, target: 1, unit: 0 } });
  t.equal(
    freeDiskTarget(
      'scsi',
      taken.filter((one) => one.dev !== 'sda'),
    ).dev,
    'sda',
  );
  const addressless = [{ dev: 'vda', bus: 'virtio' }];
  t.equal(freeDiskTarget('virtio', addressless).dev, 'vdb');
  t.end();
});

void t.test('serial numbers fit virtio-blk and stay different', (t) => {
  t.equal(diskSerial('root'), 'root');
  t.equal(diskSerial('a'.repeat(20)), 'a'.repeat(20));
  t.equal(diskSerial('data-for-the-database-1').length, 20);
  t.not(diskSerial('data-for-the-database-1'), diskSerial('data-for-the-database-2'));
  t.end();
});
