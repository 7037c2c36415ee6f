/**
 * Live migration between two libvirtd that never speak to each other: the v3 handshake over two connections, cookies and
 * XML carried by the caller. Only QEMU's own data cross, here through a UNIX socket.
 */
import { join } from 'node:path';
import t from 'tap';
import {
  DOMAIN_STATE,
  LIFECYCLE_EVENT,
  MIGRATE,
  connect,
  domainByUUID,
  isLibvirtError,
  param,
} from '../../agent/libvirt/index.js';
import type { Client, Domain } from '../../agent/libvirt/index.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import { echoGuest } from './guest.js';

// Real guests beside other tests: much patience for the file as a whole, none where a time is what is tested.
t.setTimeout(300_000);
const [a, b] = await Promise.all([startPrivateLibvirtd(), startPrivateLibvirtd()]);
t.teardown(() => Promise.all([a.stop(), b.stop()]));
const source = await connect({ uri: 'qemu:///system', socket: a.socket });
const dest = await connect({ uri: 'qemu:///system', socket: b.socket });
t.teardown(() => {
  source.close();
  dest.close();
});

const NONE = Buffer.alloc(0);
const COMMON = MIGRATE.LIVE | MIGRATE.UNSAFE;

/** The good path, and what its failures ask for, as libvirt.so does them for a "managed direct" migration. */
async function migrate(from: Client, to: Client, dom: Domain, uri: string): Promise<Domain> {
  const flags = COMMON | MIGRATE.CHANGE_PROTECTION | MIGRATE.ABORT_ON_ERROR;
  const begun = await from.dedicate();
  const prepared = await to.dedicate();
  const params = [param.string('migrate_uri', uri)];
  try {
    const begin = await begun.call('domainMigrateBegin3Params', { dom, params: [], flags });
    const destParams = [
      param.string('destination_name', dom.name),
      param.string('destination_xml', begin.xml),
      ...params,
    ];
    const prepare = await prepared
      .call('domainMigratePrepare3Params', { params: destParams, cookieIn: begin.cookieOut, flags: COMMON })
      .catch(async (e: unknown) => {
        await begun.call('domainMigrateConfirm3Params', { dom, params: [], cookieIn: NONE, flags, cancelled: true });
        throw e;
      });
    let cookie = prepare.cookieOut;
    let failure: unknown;
    try {
      const perform = await begun.call('domainMigratePerform3Params', { dom, params, cookieIn: cookie, flags });
      cookie = perform.cookieOut;
    } catch (e) {
      failure = e;
    }
    const cancelled = failure !== undefined;
    const finish = await prepared.call('domainMigrateFinish3Params', {
      params: [param.string('destination_name', dom.name), ...params],
      cookieIn: cookie,
      flags: COMMON,
      cancelled,
    });
    if (cancelled) throw failure as Error;
    await begun.call('domainMigrateConfirm3Params', {
      dom,
      params: [],
      cookieIn: finish.cookieOut,
      flags,
      cancelled: false,
    });
    return finish.dom;
  } finally {
    begun.close();
    prepared.close();
  }
}

void t.test('a running guest moves; both sides tell of it', async (t) => {
  const guest = echoGuest(a.images, 'mover');
  const { dom } = await source.call('domainCreateXML', { xml: guest.xml });
  const events = await dest.subscribe(['lifecycle']);
  const moved = await migrate(source, dest, dom, `unix://${join(b.dir, 'migrate.sock')}`);
  t.equal(moved.uuid, dom.uuid);
  t.equal((await dest.call('domainGetState', { dom: moved })).state, DOMAIN_STATE.RUNNING);
  t.equal(await domainByUUID(source, dom.uuid), null, 'a transient guest is gone from the source');
  const seen: number[] = [];
  for await (const e of events) {
    if (e.kind === 'lifecycle') seen.push(e.event);
    if (seen.includes(LIFECYCLE_EVENT.RESUMED)) break;
  }
  t.ok(seen.includes(LIFECYCLE_EVENT.STARTED));
  const console = await dest.openConsole(moved);
  console.write('Moved');
  for await (const chunk of console) {
    if (String(chunk).includes('D')) break;
  }
  t.pass('the guest answers on the other side');
  await dest.call('domainDestroyFlags', { dom: moved });
});

void t.test('a destination that cannot be reached leaves the guest running where it was', async (t) => {
  const { dom } = await source.call('domainCreateXML', { xml: echoGuest(a.images, 'stayer').xml });
  const error = await migrate(source, dest, dom, `unix://${join(b.dir, 'no/such/directory.sock')}`).catch(
    (e: unknown) => e,
  );
  t.ok(isLibvirtError(error));
  t.equal((await source.call('domainGetState', { dom })).state, DOMAIN_STATE.RUNNING);
  t.equal(await domainByUUID(dest, dom.uuid), null);
  await source.call('domainSuspend', { dom });
  await source.call('domainResume', { dom });
  t.pass('and it can be changed again: no migration holds it');
  await source.call('domainDestroyFlags', { dom });
});
