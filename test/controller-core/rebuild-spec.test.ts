import t from 'tap';
import { rebuildSpec } from '../../controller/core/rebuild-spec.js';
import type { ImageDoc } from '../../controller/core/model.js';
import type { Disk, VmSpec } from '../../proto/model/vm.js';
import { anImage, aRecord, GIB, id } from '../store/documents.js';

const root: Disk = {
  ...{ name: 'root', image: id('img', 1), sizeBytes: GIB, pool: '', bus: 'virtio' },
  ...{ device: 'disk', clone: 'overlay' },
};
const data: Disk = { ...root, name: 'data', image: '' };
const cd: Disk = { ...root, name: 'cd', device: 'cdrom', bus: 'sata', sizeBytes: 0, image: id('img', 3) };
const specOf = (...disks: Disk[]): VmSpec => ({ ...aRecord(1).spec, disks });
const IMAGES: readonly ImageDoc[] = [
  { ...anImage(1), format: 'qcow2' },
  { ...anImage(2), format: 'raw', virtualSizeBytes: 2 * GIB },
  { ...anImage(3), format: 'iso' },
  { ...anImage(4), format: 'iso' },
];
const imageOf = (one: string): ImageDoc | undefined => IMAGES.find((image) => image.id === one);
const rebuilt = (spec: VmSpec, n?: number): readonly Disk[] | string => {
  const answer = rebuildSpec(spec, n === undefined ? undefined : imageOf(id('img', n)), imageOf);
  return answer.ok ? answer.spec.disks : answer.why;
};

void t.test('what a rebuild makes of the disks', (t) => {
  const installed = specOf({ ...root, image: '' }, cd, data);
  t.same(rebuilt(specOf(root, data)), [root, data], 'M-037: the same image');
  const larger = { ...root, image: id('img', 2), sizeBytes: 2 * GIB };
  t.same(rebuilt(specOf(root, data), 2), [larger, data], 'M-036: another image; the disk grows to it');
  t.same(rebuilt(installed), installed.disks, 'M-037: the same ISO, a blank root disk');
  t.same(rebuilt(installed, 4), [installed.disks[0], { ...cd, image: id('img', 4) }, data], 'M-035: ISO to ISO');
  t.match(rebuilt(specOf(root), 3), /made from a disk image;.*is an ISO/, 'M-035: never across');
  t.match(rebuilt(installed, 1), /made from an ISO;.*is a disk image/, 'M-035: never across');
  t.match(rebuilt(specOf({ ...root, image: id('img', 9) })), /is gone/);
  t.match(rebuilt(specOf(data)), /neither an image nor an ISO/);
  t.match(rebuilt(specOf(cd)), /no root disk/);
  t.end();
});
