/**
 * Trap 4, for real: a daemon that only passes calls on to the one that runs the guests, as virtproxyd does for virtqemud.
 * Debian 12 packages neither; a libvirtd that is given the URI of another daemon's socket uses the same remote driver.
 */
import t from 'tap';
import { openConnection } from '../../agent/libvirt/connection.js';
import { DOMAIN_STATE } from '../../agent/libvirt/index.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import { echoGuest } from './guest.js';

t.setTimeout(300_000);
const [proxy, hypervisor] = await Promise.all([startPrivateLibvirtd(), startPrivateLibvirtd()]);
t.teardown(() => Promise.all([proxy.stop(), hypervisor.stop()]));
const through = { socketPath: proxy.socket, uri: `qemu+unix:///system?socket=${hypervisor.socket}` };

void t.test(
  'trap 4: the daemon behind a proxy dies; the proxy lives on, and its connection ends all the same',
  async (t) => {
    const c = await openConnection(through);
    const { dom } = await c.call('domainCreateXML', { xml: echoGuest(hypervisor.images, 'behind').xml });
    t.equal((await c.call('domainGetState', { dom })).state, DOMAIN_STATE.RUNNING, 'calls pass through');

    const inFlight = c
      .call('domainQemuMonitorCommand', { dom, cmd: '{"execute":"query-status"}' })
      .catch(() => undefined);
    const killed = Date.now();
    await hypervisor.kill();
    t.match(await c.closed, { code: 'CLOSED', message: /behind the proxy is gone/ });
    t.ok(Date.now() - killed < 2000, `known after ${Date.now() - killed} ms`);
    await inFlight;
    t.match(await c.call('domainGetState', { dom }).catch((e: unknown) => e), { code: 'CLOSED' });

    const other = await openConnection({ socketPath: proxy.socket, uri: 'test:///default' });
    t.equal((await other.call('connectGetType', {})).type, 'TEST', 'the proxy itself never went away');
    other.close();
    await t.rejects(openConnection(through), 'and says so to who comes now');

    await hypervisor.start();
    const again = await openConnection(through);
    t.equal((await again.call('domainGetState', { dom })).state, DOMAIN_STATE.RUNNING, 'the guest ran on');
    again.close();
  },
);
