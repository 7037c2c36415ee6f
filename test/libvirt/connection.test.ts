import { performance } from 'node:perf_hooks';
import { setImmediate, setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import t from 'tap';
import type { Connection, ConnectionOptions } from '../../agent/libvirt/connection.js';
import { openConnection } from '../../agent/libvirt/connection.js';
import { ConnectionError, LibvirtError, isLibvirtError, isUnsupported } from '../../agent/libvirt/errors.js';
import { STATUS, TYPE } from '../../agent/libvirt/frame.js';
import type { FakeDaemon, FakeOptions } from './fake-daemon.js';
import { until } from './until.js';
import { FakeError, SILENCE, fakeDomain, startFakeDaemon } from './fake-daemon.js';

const dom = fakeDomain(1);

async function setup(
  t: Test,
  fake: FakeOptions = {},
  options: Partial<ConnectionOptions> = {},
): Promise<{ daemon: FakeDaemon; connection: Connection }> {
  const daemon = await startFakeDaemon(fake);
  t.teardown(() => daemon.close());
  const connection = await openConnection({ socketPath: daemon.socket, uri: 'qemu:///system', ...options });
  t.teardown(() => connection.close());
  daemon.on('domainGetState', () => ({ state: 1, reason: 2 }));
  return { daemon, connection };
}

const codeOf = (p: Promise<unknown>): Promise<string> =>
  p.then(
    () => 'no error',
    (e: unknown) => (e instanceof ConnectionError ? e.code : String(e)),
  );

void t.test('arguments, results and errors travel', async (t) => {
  const { daemon, connection } = await setup(t);
  daemon.on('domainDefineXMLFlags', ({ xml, flags }: { xml: string; flags: number }) => {
    if (flags === 9) throw new FakeError(42, 10, 'Domain not found: no domain');
    return { dom: { ...dom, name: `${xml}/${flags}` } };
  });
  const { dom: defined } = await connection.call('domainDefineXMLFlags', { xml: '<여우/>' });
  t.equal(defined.name, '<여우/>/0');
  const error: unknown = await connection.call('domainDefineXMLFlags', { xml: '', flags: 9 }).catch((e: unknown) => e);
  t.ok(isLibvirtError(error, 'NO_DOMAIN'));
  t.notOk(isLibvirtError(error, 'INTERNAL_ERROR'));
  t.match(error, { code: 42, domain: 10, level: 2, codeName: 'NO_DOMAIN', procedure: 'domainDefineXMLFlags' });
  await t.rejects(connection.call('domainDefineXMLFlags', { xml: 'a\0b' }), /xml: a string with a NUL/);
  t.equal((await connection.call('domainGetState', { dom })).reason, 2, 'and the connection is well');
});

void t.test('a procedure the daemon does not know can be told from a failure', async (t) => {
  const { connection } = await setup(t);
  const error: unknown = await connection.call('domainGetMessages', { dom }).catch((e: unknown) => e);
  t.ok(error instanceof LibvirtError && isUnsupported(error));
  t.notOk(isUnsupported(new ConnectionError('CLOSED', '')));
  t.equal((await connection.call('domainGetState', { dom })).state, 1, 'the connection stays usable');
});

void t.test('trap 1: with more than five calls stuck in guests, a cheap call is still answered', async (t) => {
  const { daemon, connection } = await setup(t);
  daemon.on('domainSuspend', () => SILENCE);
  const stuck = Array.from({ length: 8 }, () => codeOf(connection.call('domainSuspend', { dom }, { timeoutMs: 2000 })));
  t.equal((await connection.call('domainGetState', { dom }, { timeoutMs: 1500 })).state, 1);
  t.equal(daemon.calls.get('domainSuspend'), 4, 'four were sent');
  t.strictSame(await Promise.all(stuck), Array<string>(8).fill('TIMEOUT'));
  t.equal(daemon.calls.get('domainSuspend'), 4, 'those that gave up waiting are never sent');
});

void t.test('trap 1, why four: a fifth unfinished call stops the daemon from reading', async (t) => {
  const { daemon, connection } = await setup(t, {}, { maxSlowCalls: 5 });
  daemon.on('domainSuspend', () => SILENCE);
  const stuck = Array.from({ length: 5 }, () => codeOf(connection.call('domainSuspend', { dom }, { timeoutMs: 300 })));
  await sleep(50);
  t.equal(await codeOf(connection.call('domainGetState', { dom }, { timeoutMs: 200 })), 'TIMEOUT');
  await Promise.all(stuck);
});

void t.test('a deadline ends the waiting, not the work: the slot is free when the daemon has answered', async (t) => {
  const { daemon, connection } = await setup(t, {}, { maxSlowCalls: 1 });
  let release: (() => void) | undefined;
  daemon.on('domainSuspend', () => new Promise((resolve) => (release = () => resolve({}))));
  daemon.on('domainResume', () => ({}));
  t.equal(await codeOf(connection.call('domainSuspend', { dom }, { timeoutMs: 50 })), 'TIMEOUT');
  const next = connection.call('domainResume', { dom });
  await sleep(50);
  t.equal(daemon.calls.get('domainResume'), undefined, 'still waiting');
  release!();
  await next;
  t.equal(daemon.calls.get('domainResume'), 1);
});

void t.test('a signal ends a call before, while and after it waits', async (t) => {
  const { daemon, connection } = await setup(t, {}, { maxSlowCalls: 1 });
  daemon.on('domainSuspend', () => SILENCE);
  const gone = AbortSignal.abort();
  t.equal(await codeOf(connection.call('domainGetState', { dom }, { signal: gone })), 'ABORTED');
  const stop = new AbortController();
  const sent = codeOf(connection.call('domainSuspend', { dom }, { signal: stop.signal }));
  const queued = codeOf(connection.call('domainSuspend', { dom }, { signal: stop.signal }));
  setTimeout(() => stop.abort(), 20);
  t.strictSame(await Promise.all([sent, queued]), ['ABORTED', 'ABORTED']);
  t.equal((await connection.call('domainGetState', { dom }, { signal: new AbortController().signal })).state, 1);
});

void t.test('a daemon that dies rejects everything in flight at once', async (t) => {
  const { daemon, connection } = await setup(t);
  daemon.on('domainGetState', () => SILENCE);
  daemon.on('domainSuspend', () => SILENCE);
  const quick = Array.from({ length: 2500 }, () => codeOf(connection.call('domainGetState', { dom })));
  const slow = Array.from({ length: 2500 }, () => codeOf(connection.call('domainSuspend', { dom })));
  await sleep(20);
  const started = Date.now();
  daemon.drop();
  const codes = await Promise.all([...quick, ...slow]);
  t.ok(codes.every((c) => c === 'CLOSED'));
  t.ok(Date.now() - started < 1000, `${Date.now() - started} ms`);
  t.equal((await connection.closed).code, 'CLOSED');
  t.notOk(connection.alive);
  t.equal(await codeOf(connection.call('domainGetState', { dom })), 'CLOSED');
});

void t.test('a reply that is not what the table says fails alone', async (t) => {
  const { daemon, connection } = await setup(t);
  const wrong: Record<string, (serial: number) => Buffer> = {
    'bytes left over': () => Buffer.alloc(12),
    'too short': () => Buffer.alloc(4),
  };
  for (const [what, payload] of Object.entries(wrong)) {
    daemon.on('domainGetState', (_args: unknown, peer) => {
      const { serial } = peer.frames.at(-1)!;
      peer.send(TYPE.reply, 212, serial, STATUS.ok, (w) => w.append(payload(serial)));
      return SILENCE;
    });
    t.equal(await codeOf(connection.call('domainGetState', { dom })), 'PROTOCOL', what);
  }
  daemon.on('domainGetJobStats', (_args: unknown, peer) => {
    const unknownType = Buffer.from('00000001' + '00000001' + '00000001' + '61000000' + '00000063' + '00000000', 'hex');
    peer.send(TYPE.reply, 298, peer.frames.at(-1)!.serial, STATUS.ok, (w) => w.append(unknownType));
    return SILENCE;
  });
  t.equal(await codeOf(connection.call('domainGetJobStats', { dom })), 'PROTOCOL', 'unknown typed parameter');
  daemon.on('domainGetState', () => ({ state: 5, reason: 0 }));
  t.equal((await connection.call('domainGetState', { dom })).state, 5, 'the connection goes on');
});

void t.test('bytes that are no frame end the connection', async (t) => {
  const { daemon, connection } = await setup(t);
  daemon.on('domainGetState', (_args: unknown, peer) => {
    peer.raw(Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'));
    return SILENCE;
  });
  t.equal(await codeOf(connection.call('domainGetState', { dom })), 'CLOSED');
  t.equal((await connection.closed).code, 'PROTOCOL');
});

void t.test('keepalive: pings are answered, silence is death', async (t) => {
  const options = { keepaliveIntervalMs: 40, keepaliveCount: 2 };
  const { daemon, connection } = await setup(t, { pong: true }, options);
  await sleep(300);
  t.ok(connection.alive, 'a daemon that answers lives on');
  const [peer] = daemon.peers;
  t.ok(peer!.frames.some((f) => f.program === 0x6b656570 && f.procedure === 1));

  const silent = await setup(t, { pong: false }, options);
  const started = Date.now();
  t.match(await silent.connection.closed, { code: 'CLOSED', message: /silent/ });
  t.ok(Date.now() - started < 1000);
});

void t.test('keepalive: a connection that was just closed sends no more', async (t) => {
  const { daemon, connection } = await setup(t, { pong: false }, { keepaliveIntervalMs: 50, keepaliveCount: 1000 });
  const [peer] = daemon.peers;
  const pings = (): number => peer!.frames.filter((f) => f.program === 0x6b656570).length;
  while (pings() === 0) await setImmediate();
  setTimeout(() => {
    connection.close();
    t.notOk(connection.alive, 'over at once');
  }, 1);
  // On a busy machine the close and the next ping are due in one turn, and the socket's own end comes after both.
  for (const end = performance.now() + 120; performance.now() < end;);
  t.match(await connection.closed, { code: 'CLOSED', message: /by this program/ });
});

void t.test("the daemon's pings are answered", async (t) => {
  const { daemon, connection } = await setup(t);
  const [peer] = daemon.peers;
  const before = peer!.frames.length;
  const ping = Buffer.from(
    '0000001c' + '6b656570' + '00000001' + '00000001' + '00000002' + '00000000' + '00000000',
    'hex',
  );
  peer!.raw(ping);
  await until('the answer', () => peer!.frames.length > before);
  t.match(peer!.frames.slice(before), [{ program: 0x6b656570, procedure: 2, type: TYPE.message }]);
  t.ok(connection.alive);
});

void t.test('trap 6: an open that fails leaves no socket behind', async (t) => {
  const daemon = await startFakeDaemon();
  t.teardown(() => daemon.close());
  const open = (): Promise<string> =>
    codeOf(openConnection({ socketPath: daemon.socket, uri: 'qemu:///system', openTimeoutMs: 1000 }));
  const cases: [string, () => void, RegExp][] = [
    ['SASL is wanted', () => daemon.on('authList', () => ({ types: [1] })), /AUTH/],
    ['polkit says no', () => daemon.on('authList', () => ({ types: [2] })), /AUTH/],
    ['no answer', () => daemon.on('authList', () => SILENCE), /TIMEOUT/],
    [
      'the URI is refused',
      () => {
        daemon.on('authList', () => ({ types: [] }));
        daemon.on('connectOpen', () => {
          throw new FakeError(38, 0, 'no such driver');
        });
      },
      /no such driver/,
    ],
  ];
  daemon.on('authPolkit', () => {
    throw new FakeError(94, 60, 'authentication unavailable: no polkit agent');
  });
  for (const [what, prepare, expected] of cases) {
    prepare();
    t.match(await open(), expected, what);
    await until(`${what}: the socket is closed`, () => daemon.peers.size === 0);
  }
  t.equal(await codeOf(openConnection({ socketPath: '/nonexistent/sock', uri: 'qemu:///system' })), 'UNREACHABLE');
});

void t.test('a caller that polkit lets in needs nothing but an empty call', async (t) => {
  const daemon = await startFakeDaemon();
  t.teardown(() => daemon.close());
  daemon.on('authList', () => ({ types: [2] }));
  daemon.on('authPolkit', () => ({ complete: true }));
  const connection = await openConnection({ socketPath: daemon.socket, uri: 'qemu:///system', readOnly: true });
  t.equal(daemon.calls.get('authPolkit'), 1);
  connection.close();
});

void t.test(
  'trap 4: the daemon behind a proxy dies, the socket lives on (event 362 sent by the fake daemon)',
  async (t) => {
    const { daemon, connection } = await setup(t);
    t.equal(daemon.calls.get('connectRegisterCloseCallback'), 1);
    daemon.on('domainGetState', () => SILENCE);
    const call = codeOf(connection.call('domainGetState', { dom }));
    daemon.hypervisorGone();
    t.match(await connection.closed, { code: 'CLOSED', message: /behind the proxy/ });
    t.equal(await call, 'CLOSED');
  },
);
