import t from 'tap';
import { volumeInUse, volumeTaken } from '../../controller/core/volumes.js';
import type { VolumeUse } from '../../controller/core/view.js';
import { aRecord, id, someFacts } from '../store/documents.js';
import { anEntry, aView } from './views.js';

// C-076, C-077
void t.test('one file is one place: by the file system where hosts share it, else by host', (t) => {
  const [pool] = someFacts().pools;
  if (pool === undefined) throw new Error('the facts have no pool');
  const withPool = (n: number, name: string, domain: string, path = '/pool') =>
    anEntry(n, { facts: someFacts({ defaultPool: name, pools: [{ ...pool, name, domain, path }] }) });
  const use: VolumeUse = {
    ...{ vmId: id('i', 9), vmName: 'other', hostId: id('h', 1), disk: 'old', pool: '', volume: 'v.qcow2' },
  };
  const spec = aRecord(1).spec;
  const record = (name: string, poolName = '') =>
    aRecord(1, {
      spec: { ...spec, disks: [...spec.disks, { ...spec.disks[0]!, name: 'x', pool: poolName, volume: name }] },
    });
  const asked = (first: ReturnType<typeof anEntry>, second: ReturnType<typeof anEntry>, volume = 'v.qcow2', poolName = '') =>
    volumeTaken(record(volume, poolName), second, aView([first, second], { volumeUses: (name) => (name === use.volume ? [use] : []) })); // prettier-ignore
  t.match(asked(withPool(1, 'nfs', 'same'), withPool(2, 'store', 'same')), use, 'shared, under another name');
  t.equal(asked(withPool(1, 'a', 'one'), withPool(2, 'a', 'two')), undefined, 'another file system');
  t.equal(asked(withPool(1, 'a', ''), withPool(2, 'a', '')), undefined, 'not known to be shared: the host’s alone');
  t.match(asked(withPool(1, 'a', ''), withPool(1, 'a', '')), use, 'the same host');
  t.equal(asked(withPool(1, 'a', 'd'), withPool(2, 'a', 'd'), 'w.qcow2'), undefined, 'another volume');
  t.match(asked(withPool(1, 'a', 'd'), withPool(2, 'a', 'd'), 'v.qcow2', 'a'), use, 'the default pool, named');
  const self = { ...use, vmId: id('i', 1) };
  const host = withPool(1, 'a', 'd');
  t.equal(volumeInUse(record('v.qcow2'), host, aView([host], { volumeUses: () => [self] })), undefined, 'its own disk');
  t.match(volumeInUse(record('v.qcow2'), host, aView([host], { volumeUses: () => [use] })), {
    code: 'IN_USE',
    field: 'spec.disks[1].volume',
    metadata: { vm: id('i', 9) },
  });
  t.end();
});
