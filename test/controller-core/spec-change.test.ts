import t from 'tap';
import { changedSpec, specPathsOf, type SpecPath } from '../../controller/core/spec-change.js';
import type { VmDraft } from '../../controller/core/vm-defaults.js';
import { MIB, vmSpecSchema, type VmSpec } from '../../proto/model/vm.js';
import { vmSpecDraftFromWire } from '../../proto/convert.js';
import { ostler } from '../../proto/gen/ostler.js';
import { sampleRecord } from '../rig/records.js';

const CURRENT: VmSpec = {
  ...sampleRecord().spec,
  cpu: { vcpus: 2, maxVcpus: 4, sockets: 1, cores: 2, threads: 2, model: 'host-model' },
};
const ROOMLESS: VmSpec = { ...CURRENT, cpu: { ...CURRENT.cpu, vcpus: 4 } };
const IMAGE = {
  id: 'img-0123456789',
  format: 'qcow2',
  virtualSizeBytes: 64 * MIB,
  osType: 'linux',
  defaults: {},
} as const;
const GIVEN = { images: new Map([[IMAGE.id, IMAGE]]), macs: ['52:54:00:aa:00:01', '52:54:00:aa:00:02'] };

function change(wire: ostler.v1.VmSpec.$Properties, paths: readonly SpecPath[], current = CURRENT): VmSpec {
  const { cloudInit, ...rest } = vmSpecDraftFromWire(wire, 'spec');
  const { password: _none, ...seed } = cloudInit;
  const draft: VmDraft = { ...rest, cloudInit: seed };
  return changedSpec(current, draft, paths, GIVEN).spec;
}

void t.test('paths', (t) => {
  t.same(specPathsOf('spec.cpu.max_vcpus'), ['cpu.max_vcpus']);
  t.same(specPathsOf('cpu.maxVcpus'), ['cpu.max_vcpus']);
  t.same(specPathsOf('spec.memory'), ['memory.size_bytes', 'memory.max_size_bytes']);
  t.ok((specPathsOf('spec') ?? []).includes('disks'));
  for (const path of ['id', 'spec.nothing', 'cpu.', '']) t.equal(specPathsOf(path), undefined, path);
  t.end();
});

void t.test('what is not named stays', (t) => {
  t.same(change({}, []), CURRENT);
  t.same(change({ cpu: { vcpus: 3, model: 'qemu64' } }, ['cpu.vcpus']), {
    ...CURRENT,
    cpu: { ...CURRENT.cpu, vcpus: 3 },
  });
  const seconds = change({ shutdownTimeoutSeconds: 5, osType: ostler.v1.OsType.WINDOWS }, ['shutdown_timeout_seconds']);
  t.same(seconds, { ...CURRENT, shutdownTimeoutSeconds: 5 });
  t.end();
});

void t.test('topology follows what is named', (t) => {
  const cpu = (wire: ostler.v1.Cpu.$Properties, paths: readonly SpecPath[], current = CURRENT): string => {
    const { vcpus, maxVcpus, sockets, cores, threads } = change({ cpu: wire }, paths, current).cpu;
    return `${vcpus} of ${maxVcpus}: ${sockets} × ${cores} × ${threads}`;
  };
  t.equal(cpu({ vcpus: 4 }, ['cpu.vcpus']), '4 of 4: 1 × 2 × 2');
  t.equal(cpu({ maxVcpus: 8 }, ['cpu.max_vcpus']), '2 of 8: 1 × 4 × 2', 'C-098');
  t.equal(cpu({ threads: 1, maxVcpus: 2 }, ['cpu.threads', 'cpu.max_vcpus']), '2 of 2: 1 × 2 × 1', 'C-057');
  t.equal(cpu({ cores: 4 }, ['cpu.cores']), '2 of 8: 1 × 4 × 2', 'C-058: the ceiling is what the layout makes');
  t.equal(cpu({ vcpus: 6 }, ['cpu.vcpus']), '6 of 4: 1 × 2 × 2', 'C-059: the API refuses this');
  t.equal(
    cpu({ vcpus: 8 }, ['cpu.vcpus'], ROOMLESS),
    '8 of 8: 1 × 4 × 2',
    'M-045: without room the ceiling moves along',
  );
  t.equal(cpu({ vcpus: 2 }, ['cpu.vcpus'], ROOMLESS), '2 of 2: 1 × 1 × 2', 'C-097');
  t.end();
});

void t.test('devices keep what is not said anew', (t) => {
  const [root] = CURRENT.disks;
  const disks = change(
    {
      disks: [
        { name: 'root', sizeBytes: 512 * MIB },
        { name: 'data', sizeBytes: MIB },
      ],
    },
    ['disks'],
  );
  t.same(disks.disks, [
    { ...root, sizeBytes: 512 * MIB },
    { name: 'data', image: '', sizeBytes: MIB, pool: '', bus: 'virtio', device: 'disk', clone: 'overlay' },
  ]);
  t.same(disks.bootOrder, ['root', 'nic0', 'data'], 'what is new boots last');
  const nics = change({ nics: [{ name: 'nic0' }, {}] }, ['nics']);
  t.same(nics.nics[0], CURRENT.nics[0], 'its address stays');
  t.match(nics.nics[1], { name: 'nic1', mac: '52:54:00:aa:00:02', model: 'virtio' });
  t.ok(vmSpecSchema.safeParse(nics).success);
  const limited = {
    ...CURRENT,
    disks: [{ ...root!, limits: { readBytesPerSecond: 0, writeBytesPerSecond: 0, readIops: 5, writeIops: 0 } }],
  };
  t.same(change({ disks: [{ name: 'root' }] }, ['disks'], limited).disks, [root], 'limits that are not said are gone');
  t.end();
});

void t.test('the hash and the user data that are never shown are kept', (t) => {
  const seed = { enabled: true, user: 'eve', passwordHash: '********' };
  t.equal(change({ cloudInit: seed }, ['cloud_init']).cloudInit.passwordHash, CURRENT.cloudInit.passwordHash);
  t.equal(change({ cloudInit: seed }, ['cloud_init']).cloudInit.user, 'eve');
  const { userData } = change({ cloudInit: { ...seed, userData: '' } }, ['cloud_init']).cloudInit;
  t.equal(userData, CURRENT.cloudInit.userData);
  t.not(userData, '');
  t.end();
});
