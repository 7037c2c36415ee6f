import t from 'tap';
import type { PlanFacts } from '../../agent/core/volume-plan.js';
import { planVolumes } from '../../agent/core/volume-plan.js';
import type { PoolFacts } from '../../proto/model/host.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { Disk } from '../../proto/model/vm.js';
import { cdrom, disk, MIB, sampleRecord } from '../xml/sample.js';

const GIB = 1024 * MIB;

function pool(name: string, more: Partial<PoolFacts> = {}): PoolFacts {
  const base = { type: 'dir', path: `/pools/${name}`, shared: false, capacityBytes: 100 * GIB, domain: name };
  return { name, ...base, availableBytes: 50 * GIB, active: true, ...more };
}

function image(id: string, format: ImageRef['format'], virtualSizeBytes = 2 * GIB): ImageRef {
  return { id, format, fileBytes: 400 * MIB, virtualSizeBytes, sha256: 'a'.repeat(64) };
}

const DEBIAN = image('img-1111111111', 'qcow2');
const RAW = image('img-2222222222', 'raw');
const ISO = image('img-3333333333', 'iso', 400 * MIB);

function facts(more: Partial<PlanFacts> = {}): PlanFacts {
  return {
    pools: [pool('local'), pool('nfs', { type: 'netfs', shared: true })],
    defaultPool: 'local',
    images: new Map([DEBIAN, RAW, ISO].map((one) => [one.id, one])),
    listings: new Map(),
    ...more,
  };
}

const plan = (disks: Disk[], more: Partial<PlanFacts> = {}) =>
  planVolumes(sampleRecord({ spec: { disks } }), facts(more));

void t.test('each kind of disk has its file, in the order of the record', (t) => {
  // M-007, M-012
  const disks = [
    disk('root', { image: DEBIAN.id, sizeBytes: 10 * GIB }),
    disk('copy', { image: RAW.id, sizeBytes: 0, clone: 'full', pool: 'nfs' }),
    disk('data', { sizeBytes: GIB }),
    cdrom('installer', { image: ISO.id }),
    cdrom('empty'),
  ];
  t.same(plan(disks, { listings: new Map([['local', ['ostler-image-img-1111111111.qcow2']]]) }), {
    ok: true,
    images: [
      {
        imageId: DEBIAN.id,
        pool: 'local',
        path: '/pools/local/ostler-image-img-1111111111.qcow2',
        format: 'qcow2',
        present: true,
      },
      {
        imageId: RAW.id,
        pool: 'nfs',
        path: '/pools/nfs/ostler-image-img-2222222222.raw',
        format: 'raw',
        present: false,
      },
      {
        imageId: ISO.id,
        pool: 'local',
        path: '/pools/local/ostler-image-img-3333333333.iso',
        format: 'iso',
        present: false,
      },
    ],
    volumes: [
      {
        diskName: 'root',
        pool: 'local',
        kind: 'overlay',
        path: '/pools/local/ostler-i-0123456789-root.qcow2',
        format: 'qcow2',
        backing: { path: '/pools/local/ostler-image-img-1111111111.qcow2', format: 'qcow2' },
        sizeBytes: 10 * GIB,
      },
      {
        diskName: 'copy',
        pool: 'nfs',
        kind: 'full',
        path: '/pools/nfs/ostler-i-0123456789-copy.qcow2',
        format: 'qcow2',
        backing: { path: '/pools/nfs/ostler-image-img-2222222222.raw', format: 'raw' },
        sizeBytes: 2 * GIB,
      },
      {
        diskName: 'data',
        pool: 'local',
        kind: 'blank',
        path: '/pools/local/ostler-i-0123456789-data.qcow2',
        format: 'qcow2',
        backing: undefined,
        sizeBytes: GIB,
      },
      {
        diskName: 'installer',
        pool: 'local',
        kind: 'iso',
        path: '/pools/local/ostler-image-img-3333333333.iso',
        format: 'raw',
        backing: undefined,
        sizeBytes: 400 * MIB,
      },
    ],
  });
  t.end();
});

void t.test('two disks of one image in one pool need it once', (t) => {
  const disks = [disk('a', { image: DEBIAN.id, sizeBytes: 0 }), disk('b', { image: DEBIAN.id, sizeBytes: 0 })];
  const tight = plan(disks, { pools: [pool('local', { availableBytes: 402 * MIB })] });
  t.match(tight, { ok: true });
  t.equal(tight.ok && tight.images.length, 1);
  t.match(plan(disks, { pools: [pool('local', { availableBytes: 402 * MIB - 1 })] }), { ok: false });
  t.end();
});

void t.test('every refusal names the field, the reason and a way out', (t) => {
  const refused = (one: Disk, more: Partial<PlanFacts> = {}) => {
    const result = plan([disk('first'), one], more);
    return result.ok ? [] : result.refusals.map(({ code, field }) => `${code} ${field}`);
  };
  const pools = [
    pool('local'),
    pool('stopped', { active: false }),
    pool('lvm', { type: 'logical', path: '/dev/vg' }),
    pool('rbd', { type: 'rbd', path: '' }),
    pool('full', { availableBytes: 100 * MIB }),
  ];
  t.same(refused(disk('x', { pool: 'nowhere' })), ['NOT_FOUND spec.disks[1].pool']);
  t.same(refused(disk('x'), { defaultPool: '' }), ['NOT_FOUND spec.disks[0].pool', 'NOT_FOUND spec.disks[1].pool']);
  t.same(refused(disk('x', { pool: 'stopped' }), { pools }), ['WRONG_STATE spec.disks[1].pool']);
  t.same(refused(disk('x', { pool: 'lvm' }), { pools }), ['UNSUPPORTED spec.disks[1].pool']);
  t.same(refused(disk('x', { pool: 'rbd' }), { pools }), ['UNSUPPORTED spec.disks[1].pool']);
  t.same(refused(disk('x', { image: 'img-9999999999' })), ['NOT_FOUND spec.disks[1].image']);
  t.same(refused(disk('x', { image: DEBIAN.id, sizeBytes: GIB })), ['INVALID_FIELD spec.disks[1].size_bytes']);
  t.same(refused(disk('x', { image: ISO.id })), ['INVALID_FIELD spec.disks[1].image']);
  t.same(refused(cdrom('x', { image: DEBIAN.id })), ['INVALID_FIELD spec.disks[1].image']);
  t.same(refused(disk('x', { image: DEBIAN.id, sizeBytes: 0, pool: 'full' }), { pools }), ['STORAGE_FULL spec.disks']);
  t.same(refused(disk('x', { image: DEBIAN.id, sizeBytes: 0, clone: 'full', pool: 'full' }), { pools }), [
    'STORAGE_FULL spec.disks',
  ]);
  const { refusals } = plan([disk('x', { image: DEBIAN.id, sizeBytes: GIB })]) as Extract<
    ReturnType<typeof plan>,
    { ok: false }
  >;
  t.match(refusals[0], {
    message: /1073741824 bytes, its image img-1111111111 needs 2147483648/,
    remedy: /2147483648/,
  });
  t.end();
});
