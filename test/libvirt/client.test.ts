import { createHash } from 'node:crypto';
import { performance } from 'node:perf_hooks';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import type { Client, ClientOptions, ClientState } from '../../agent/libvirt/index.js';
import { STATS, STATS_FLAGS, connect, createClient, domainByName } from '../../agent/libvirt/index.js';
import { ConnectionError } from '../../agent/libvirt/errors.js';
import { STATUS, TYPE } from '../../agent/libvirt/frame.js';
import { param } from '../../agent/libvirt/typed-params.js';
import type { FakeDaemon } from './fake-daemon.js';
import { FakeError, SILENCE, fakeDomain, startFakeDaemon } from './fake-daemon.js';
import { statsRecords } from './stats-record.js';
import { until } from './until.js';

const dom = fakeDomain(1);
const vol = { pool: 'p', name: 'v', key: '/v' };

async function setup(t: Test, options: Partial<ClientOptions> = {}): Promise<{ daemon: FakeDaemon; lv: Client }> {
  const daemon = await startFakeDaemon();
  t.teardown(() => daemon.close());
  daemon.on('domainGetState', () => ({ state: 1, reason: 1 }));
  const lv = await connect({ uri: 'qemu:///system', socket: daemon.socket, reconnectMinMs: 10, ...options });
  t.teardown(() => lv.close());
  return { daemon, lv };
}

void t.test('the state tells of a lost daemon at once, and of its return', async (t) => {
  const { daemon, lv } = await setup(t);
  const states: ClientState['name'][] = [];
  const stop = lv.onState((s) => states.push(s.name));
  t.equal(lv.state.name, 'connected');
  daemon.drop();
  await until('disconnected', () => states.includes('disconnected'));
  const error: unknown = await lv.call('domainGetState', { dom }).catch((e: unknown) => e);
  if (lv.state.name === 'disconnected') t.match(error, { code: 'CLOSED', message: /no connection to the daemon/ });
  await until('connected', () => lv.state.name === 'connected');
  t.strictSame(states, ['disconnected', 'connected']);
  t.equal((await lv.call('domainGetState', { dom })).state, 1);
  stop();
  lv.close();
  lv.close();
  t.equal(lv.state.name, 'closed');
  t.strictSame(states, ['disconnected', 'connected'], 'a listener that stopped hears nothing');
  await t.rejects(lv.call('domainGetState', { dom }), /closed/);
  await t.rejects(lv.subscribe(['reboot']), ConnectionError);
  await t.rejects(lv.dedicate(), ConnectionError);
  await until('every connection is ended', () => daemon.peers.size === 0);
});

void t.test('trap 4: a hypervisor that is gone behind a proxy is a lost daemon, and comes back as one', async (t) => {
  const { daemon, lv } = await setup(t);
  const events = await lv.subscribe(['lifecycle']);
  const states: ClientState[] = [];
  lv.onState((s) => states.push(s));
  daemon.hypervisorGone();
  await until('disconnected', () => states.length > 0);
  t.match(states[0], { name: 'disconnected', reason: { message: /behind the proxy/ } });
  await until('connected', () => lv.state.name === 'connected');
  for await (const e of events) {
    t.match(e, { kind: 'resync', reason: 'reconnected' });
    break;
  }
  t.equal((await lv.call('domainGetState', { dom })).state, 1);
});

void t.test('connect rejects without a daemon, createClient waits for one', async (t) => {
  const daemon = await startFakeDaemon();
  await daemon.close();
  const options = { uri: 'qemu:///system', socket: daemon.socket, reconnectMinMs: 10 };
  await t.rejects(connect(options), { code: 'UNREACHABLE' });
  const errors: unknown[] = [];
  const lv = createClient({ ...options, onError: (e) => errors.push(e) });
  t.teardown(() => lv.close());
  t.match(lv.state, { name: 'disconnected', reason: undefined });
  await until('a reason', () => lv.state.name === 'disconnected' && lv.state.reason !== undefined);
  await until('retries that are reported', () => errors.length > 1);
});

void t.test('events reach every subscriber that asked for their kind', async (t) => {
  const { daemon, lv } = await setup(t);
  const all = await lv.subscribe(['lifecycle', 'jobCompleted', 'blockThreshold']);
  const reboots = await lv.subscribe(['reboot']);
  t.equal(daemon.calls.get('connectDomainEventCallbackRegisterAny'), 4);
  const head = { callbackID: 7, dom };
  daemon.event('lifecycle', { ...head, event: 2, detail: 0 });
  daemon.event('reboot', head);
  daemon.event('jobCompleted', { ...head, params: [param.int('operation', 5)] });
  daemon.event('blockThreshold', { ...head, dev: 'vda[1]', threshold: 10, excess: 3 });
  const seen: unknown[] = [];
  for await (const e of all) {
    seen.push(e);
    if (seen.length === 3) break;
  }
  t.match(seen, [
    { kind: 'lifecycle', dom, event: 2, detail: 0 },
    { kind: 'jobCompleted', dom, params: [{ field: 'operation', value: 5 }] },
    { kind: 'blockThreshold', dev: 'vda[1]', path: null, threshold: 10, excess: 3 },
  ]);
  for await (const e of reboots) {
    t.equal(e.kind, 'reboot');
    reboots.close();
  }
  await until('deregistered', () => daemon.calls.get('connectDomainEventCallbackDeregisterAny') === 4);
});

void t.test('a reader that is too slow is told so, before what follows the gap', async (t) => {
  const { daemon, lv } = await setup(t);
  const events = await lv.subscribe(['lifecycle'], { limit: 10 });
  for (let detail = 0; detail < 25; detail++) daemon.event('lifecycle', { callbackID: 7, dom, event: 4, detail });
  await sleep(50);
  const seen: unknown[] = [];
  for await (const e of events) {
    seen.push(e.kind === 'resync' ? `resync ${e.reason} ${e.lost}` : e.detail);
    if (seen.length === 6) break;
  }
  t.strictSame(seen, ['resync overflow 20', 20, 21, 22, 23, 24]);
});

void t.test('after a reconnect every subscription is registered again and its reader re-lists', async (t) => {
  const { daemon, lv } = await setup(t);
  const events = await lv.subscribe(['lifecycle', 'deviceRemoved']);
  const reader = events[Symbol.asyncIterator]();
  daemon.drop();
  t.match(await reader.next(), { value: { kind: 'resync', reason: 'reconnected' } });
  t.equal(daemon.calls.get('connectDomainEventCallbackRegisterAny'), 4);
  daemon.event('deviceRemoved', { callbackID: 7, dom, devAlias: 'net0' });
  t.match(await reader.next(), { value: { kind: 'deviceRemoved', devAlias: 'net0' } });
  events.close();
  t.match(await reader.next(), { done: true });
});

void t.test(
  'an event may come before the reply to its registration; one the daemon refuses is refused here',
  async (t) => {
    const { daemon, lv } = await setup(t);
    daemon.on('connectDomainEventCallbackRegisterAny', ({ eventID }: { eventID: number }) => {
      if (eventID === 26) throw new FakeError(8, 10, 'unsupported event ID 26');
      daemon.event('lifecycle', { callbackID: 7, dom, event: 0, detail: 0 });
      return { callbackID: 7 };
    });
    const events = await lv.subscribe(['lifecycle']);
    for await (const e of events) {
      t.match(e, { kind: 'lifecycle', event: 0 });
      break;
    }
    await t.rejects(lv.subscribe(['memoryDeviceSizeChange']), /unsupported event ID/);
  },
);

void t.test('trap 2: a stuck poll is left behind; the next goes over a fresh connection with NOWAIT', async (t) => {
  const { daemon, lv } = await setup(t);
  const flagsSeen: number[] = [];
  daemon.on('connectGetAllDomainStats', ({ flags }: { flags: number }) => {
    flagsSeen.push(flags);
    return flags === 0 ? SILENCE : { retStats: statsRecords(2) };
  });
  t.equal(daemon.peers.size, 1);
  await t.rejects(lv.allDomainStats({ stats: 0, timeoutMs: 100 }), { code: 'TIMEOUT' });
  t.equal((await lv.call('domainGetState', { dom })).state, 1, 'control is not touched');
  for (let i = 0; i < 30; i++) t.equal((await lv.allDomainStats({ stats: STATS.BLOCK, timeoutMs: 5000 })).length, 2);
  t.ok(flagsSeen.slice(1).every((f) => f === STATS_FLAGS.NOWAIT));
  await t.rejects(lv.allDomainStats({ stats: 0, timeoutMs: 50 }), { code: 'TIMEOUT' }, 'then one poll tries without');
  t.ok(daemon.peers.size <= 2, 'stuck connections are closed');
});

void t.test('polls at the same time share one connection', async (t) => {
  const { daemon, lv } = await setup(t);
  daemon.on('connectGetAllDomainStats', () => ({ retStats: statsRecords(1) }));
  await Promise.all(Array.from({ length: 5 }, () => lv.allDomainStats({ stats: 0 })));
  t.equal(daemon.peers.size, 2);
  daemon.drop();
  await until('the loss is seen', () => lv.state.name === 'disconnected');
  await until('connected again', () => lv.state.name === 'connected');
  await Promise.all(Array.from({ length: 5 }, () => lv.allDomainStats({ stats: 0 })));
  t.equal(daemon.peers.size, 2);
});

void t.test('a large reply comes whole', async (t) => {
  const { daemon, lv } = await setup(t);
  const records = statsRecords(1000);
  daemon.on('connectGetAllDomainStats', () => ({ retStats: records }));
  await lv.allDomainStats({ stats: 0 });
  const got = await lv.allDomainStats({ stats: 0 });
  t.equal(got.length, 1000);
  t.equal(got[999]!.stats.size, 52);
  t.equal(got[999]!.stats.get('block.0.physical'), 999 * 1_000_003 + 42 * 77_777_777);
});

void t.test('a job of its own has a connection of its own', async (t) => {
  const { daemon, lv } = await setup(t);
  let finish = (): void => undefined;
  daemon.on('domainManagedSave', () => new Promise((resolve) => (finish = () => resolve({}))));
  const job = lv.withConnection((c) => c.call('domainManagedSave', { dom }));
  await until('the call has come', () => daemon.calls.has('domainManagedSave'));
  t.equal(daemon.peers.size, 2);
  finish();
  await job;
  await until('it is closed', () => daemon.peers.size === 1);
});

void t.test('what is not there is null', async (t) => {
  const { daemon, lv } = await setup(t);
  daemon.on('domainLookupByName', ({ name }: { name: string }) => {
    if (name === 'broken') throw new FakeError(1, 10, 'internal');
    throw new FakeError(42, 10, 'Domain not found');
  });
  t.equal(await domainByName(lv, 'x'), null);
  await t.rejects(domainByName(lv, 'broken'), /internal/);
});

void t.test('a download carries data and holes, and ends when the daemon confirms', async (t) => {
  const { daemon, lv } = await setup(t);
  daemon.on('storageVolDownload', (_args: unknown, peer) => {
    const { serial } = peer.frames.at(-1)!;
    setTimeout(() => {
      peer.send(TYPE.stream, 209, serial, STATUS.more, (w) => w.append(Buffer.from('abc')));
      peer.send(TYPE.hole, 209, serial, STATUS.more, (w) => w.append(Buffer.from('000000000000000500000000', 'hex')));
      peer.send(TYPE.stream, 209, serial, STATUS.more, (w) => w.append(Buffer.from('de')));
      peer.send(TYPE.stream, 209, serial, STATUS.more);
      setTimeout(() => peer.send(TYPE.stream, 209, serial, STATUS.ok), 20);
    }, 5);
    return {};
  });
  const chunks: Buffer[] = [];
  for await (const c of await lv.storageVolDownload(vol)) chunks.push(c as Buffer);
  t.equal(Buffer.concat(chunks).toString(), 'abc\0\0\0\0\0de');
  const parts: unknown[] = [];
  for await (const c of await lv.storageVolDownload(vol, { sparse: true })) parts.push(c);
  t.strictSame(parts, [Buffer.from('abc'), { hole: 5 }, Buffer.from('de')]);
  await until('stream connections are closed', () => daemon.peers.size === 1);
});

void t.test('a stream error or a dead daemon fails the stream', async (t) => {
  const { daemon, lv } = await setup(t);
  daemon.on('storageVolUpload', (_args: unknown, peer) => {
    setTimeout(() => peer.end(), 20);
    return {};
  });
  const up = await lv.storageVolUpload(vol);
  const failed = new Promise((resolve) => up.once('error', resolve));
  up.write(Buffer.alloc(10));
  t.match(await failed, { code: 'CLOSED' });
  daemon.on('storageVolUpload', () => {
    throw new FakeError(50, 18, 'Storage volume not found');
  });
  await t.rejects(lv.storageVolUpload(vol), /volume not found/);
  await until('it is closed', () => daemon.peers.size === 1);
});

void t.test('an upload is sent in packets the daemon takes', async (t) => {
  const { daemon, lv } = await setup(t);
  const data = Buffer.alloc(1_000_003, 'ostler');
  const hash = createHash('sha256');
  let largest = 0;
  daemon.on('storageVolUpload', (_args: unknown, peer) => {
    const { serial } = peer.frames.at(-1)!;
    let seen = peer.frames.length;
    const timer = setInterval(() => {
      for (const f of peer.frames.slice(seen)) {
        largest = Math.max(largest, f.payload.length);
        if (f.type === TYPE.stream && f.status === STATUS.more) hash.update(f.payload);
        if (f.type === TYPE.stream && f.status === STATUS.ok) {
          clearInterval(timer);
          peer.send(TYPE.stream, 208, serial, STATUS.ok);
        }
      }
      seen = peer.frames.length;
    }, 2);
    return {};
  });
  await pipeline([data], await lv.storageVolUpload(vol));
  t.equal(hash.digest('hex'), createHash('sha256').update(data).digest('hex'));
  t.equal(largest, 262120);
});

void t.test('trap 3: a reader that pauses longer than any keepalive keeps its stream', async (t) => {
  const { daemon, lv } = await setup(t, { keepaliveIntervalMs: 20, keepaliveCount: 1 });
  daemon.on('domainOpenConsole', (_args: unknown, peer) => {
    const { serial } = peer.frames.at(-1)!;
    setTimeout(() => {
      for (let i = 0; i < 40; i++) {
        peer.send(TYPE.stream, 201, serial, STATUS.more, (w) => w.append(Buffer.alloc(8192, 97)));
      }
    }, 5);
    return {};
  });
  const console = await lv.openConsole(dom);
  const [, peer] = daemon.peers;
  await sleep(300);
  t.notOk(console.destroyed);
  t.notOk(
    peer!.frames.some((f) => f.program === 0x6b656570),
    'no pings that nobody would read',
  );
  t.notOk(
    peer!.frames.some((f) => f.procedure === 60 && f.payload.readInt32BE(0) === 10),
    'and the daemon is not asked to send any',
  );
  let got = 0;
  for await (const c of console) {
    got += (c as Buffer).length;
    if (got === 40 * 8192) break;
  }
  t.equal(got, 40 * 8192);
  t.equal((await lv.call('domainGetState', { dom })).state, 1);
});

void t.test('the control connection is not disturbed by a clock that stands still for a while', async (t) => {
  const { lv } = await setup(t, { keepaliveIntervalMs: 30, keepaliveCount: 2 });
  const end = performance.now() + 300;
  while (performance.now() < end);
  await sleep(100);
  t.equal((await lv.call('domainGetState', { dom })).state, 1);
});
