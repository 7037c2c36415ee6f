import t from 'tap';
import { createSweep } from '../../agent/drivers/sweep.js';
import type { DomainState } from '../../proto/model/host.js';

void t.test('what differs at two looks in a row is caught up with; what differs once may be on its way', async (t) => {
  const libvirt = new Map<string, DomainState>();
  const known = new Map<string, DomainState>();
  const caught: string[] = [];
  const sweep = createSweep({
    listDomains: () =>
      Promise.resolve([...libvirt].map(([uuid, state]) => ({ uuid, name: uuid, state, reason: '', persistent: true }))),
    known: () => known,
    catchUp: (uuid) => {
      caught.push(uuid);
      const state = libvirt.get(uuid);
      if (state === undefined) known.delete(uuid);
      else known.set(uuid, state);
      return Promise.resolve();
    },
  });
  for (const uuid of ['a', 'b', 'c']) {
    libvirt.set(uuid, 'running');
    known.set(uuid, 'running');
  }
  await sweep();
  await sweep();
  t.same(caught, []);

  libvirt.set('a', 'shutoff'); // nobody tells
  libvirt.set('b', 'paused'); // its event comes a moment later
  libvirt.delete('c'); // gone, untold
  libvirt.set('d', 'shutoff'); // new, untold
  await sweep();
  t.same(caught, []);
  known.set('b', 'paused');
  await sweep();
  t.same(caught.sort(), ['a', 'c', 'd']);
  await sweep();
  t.equal(caught.length, 3, 'once');

  // Differing, but not in the same way: it is moving.
  libvirt.set('a', 'paused');
  await sweep();
  libvirt.set('a', 'running');
  await sweep();
  t.equal(caught.length, 3);
  await sweep();
  t.equal(caught.length, 4);
});
