/** A real libvirtd on a bad day: a QEMU that stands still, a daemon that is killed. */
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import type { ClientState } from '../../agent/libvirt/index.js';
import { ConnectionError, DOMAIN_STATE, STATS, connect } from '../../agent/libvirt/index.js';
import { openConnection } from '../../agent/libvirt/connection.js';
import { startPrivateLibvirtd } from '../rig/private-libvirtd.js';
import { echoGuest } from './guest.js';

// Real guests beside other tests: much patience for the file as a whole, none where a time is what is tested.
t.setTimeout(300_000);
const libvirtd = await startPrivateLibvirtd();
t.teardown(() => libvirtd.stop());
const lv = await connect({ uri: 'qemu:///system', socket: libvirtd.socket });
t.teardown(() => lv.close());

async function startGuest(name: string) {
  return (await lv.call('domainCreateXML', { xml: echoGuest(libvirtd.images, name).xml })).dom;
}

const codeOf = (p: Promise<unknown>): Promise<string> =>
  p.then(
    () => 'answered',
    (e: unknown) => (e instanceof ConnectionError ? e.code : String(e)),
  );
async function took(p: Promise<unknown>): Promise<number> {
  const started = Date.now();
  await p;
  return Date.now() - started;
}

const healthy = await startGuest('healthy');
const frozen = await startGuest('frozen');
const query = (dom: typeof frozen) => ({ dom, cmd: '{"execute":"query-status"}' });

void t.test('traps 1 and 2: a QEMU that is stopped', async (t) => {
  const pid = libvirtd.guestPid('frozen');
  process.kill(pid, 'SIGSTOP');
  try {
    const stuck = Array.from({ length: 6 }, () =>
      codeOf(lv.call('domainQemuMonitorCommand', query(frozen), { timeoutMs: 9000 })),
    );
    await sleep(200);
    t.ok((await took(lv.call('domainGetState', { dom: frozen }))) < 500, 'a cheap call on the same connection');
    t.ok((await took(lv.call('domainGetInfo', { dom: frozen }))) < 500, 'info of the frozen guest itself');
    t.ok((await took(lv.call('domainGetXMLDesc', { dom: frozen }))) < 500, 'XML of the frozen guest itself');
    t.ok(
      (await took(lv.withConnection((c) => c.call('domainQemuMonitorCommand', query(healthy))))) < 1000,
      'another guest',
    );

    const alive = lv.allDomainStats({ stats: STATS.STATE, timeoutMs: 2000 });
    t.ok((await took(alive)) < 1000, 'state-only statistics');
    t.equal((await alive).length, 2);
    const all = { stats: STATS.STATE | STATS.BALLOON | STATS.BLOCK | STATS.VCPU, timeoutMs: 1000 };
    t.equal(await codeOf(lv.allDomainStats(all)), 'TIMEOUT', 'the first full poll is stuck');
    const second = lv.allDomainStats(all);
    t.ok((await took(second)) < 900, 'the next one is not');
    const records = new Map((await second).map((r) => [r.dom.name, r.stats]));
    t.equal(records.get('healthy')?.get('block.0.name'), 'hda', 'others are complete');
    t.equal(records.get('frozen')?.get('state.state'), DOMAIN_STATE.RUNNING, 'the frozen one shows what is known');

    process.kill(pid, 'SIGCONT');
    t.strictSame(await Promise.all(stuck), Array<string>(6).fill('answered'), 'and all goes on when QEMU does');
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

void t.test('long jobs have connections of their own: any number may be stuck', async (t) => {
  const pid = libvirtd.guestPid('frozen');
  process.kill(pid, 'SIGSTOP');
  try {
    const jobs = Array.from({ length: 6 }, () =>
      codeOf(lv.withConnection((c) => c.call('domainQemuMonitorCommand', query(frozen)))),
    );
    await sleep(200);
    t.ok((await took(lv.call('domainGetState', { dom: frozen }))) < 500, 'calls go on');
    t.ok((await took(lv.call('domainQemuMonitorCommand', query(healthy)))) < 1000, 'those into other guests too');
    process.kill(pid, 'SIGCONT');
    t.strictSame(await Promise.all(jobs), Array<string>(6).fill('answered'));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

void t.test('trap 1, why four: with five calls stuck libvirtd reads no more from the connection', async (t) => {
  const pid = libvirtd.guestPid('frozen');
  const c = await openConnection({ socketPath: libvirtd.socket, uri: 'qemu:///system', maxSlowCalls: 5 });
  t.teardown(() => c.close());
  process.kill(pid, 'SIGSTOP');
  try {
    const stuck = Array.from({ length: 5 }, () => codeOf(c.call('domainQemuMonitorCommand', query(frozen))));
    await sleep(200);
    t.equal(await codeOf(c.call('domainGetState', { dom: healthy }, { timeoutMs: 1000 })), 'TIMEOUT');
    process.kill(pid, 'SIGCONT');
    t.strictSame(await Promise.all(stuck), Array<string>(5).fill('answered'));
  } finally {
    process.kill(pid, 'SIGCONT');
  }
});

void t.test('a frozen guest can be destroyed', async (t) => {
  process.kill(libvirtd.guestPid('frozen'), 'SIGSTOP');
  await lv.call('domainDestroyFlags', { dom: frozen });
  t.equal((await lv.call('connectListAllDomains', {})).domains.length, 1);
});

void t.test('libvirtd killed with thousands of calls in flight, and started again', async (t) => {
  const states: { name: ClientState['name']; at: number }[] = [];
  const stop = lv.onState((s) => states.push({ name: s.name, at: Date.now() }));
  const events = await lv.subscribe(['lifecycle']);
  const reader = events[Symbol.asyncIterator]();
  const job = await lv.dedicate();
  const calls = Array.from({ length: 5000 }, (_, i) =>
    codeOf(i % 2 === 0 ? lv.call('domainGetXMLDesc', { dom: healthy }) : lv.call('domainGetState', { dom: healthy })),
  );
  await sleep(5);
  const killed = Date.now();
  await libvirtd.kill();
  const codes = await Promise.all(calls);
  t.strictSame(
    [...new Set(codes)].sort().filter((c) => c !== 'answered'),
    ['CLOSED'],
  );
  t.comment(`${codes.filter((c) => c === 'answered').length} of 5000 were answered`);
  t.match(await job.closed, { code: 'CLOSED' }, 'every connection knows');
  t.equal(states[0]?.name, 'disconnected');
  t.ok(states[0]!.at - killed < 2000, `known after ${states[0]!.at - killed} ms`);
  t.match(await lv.call('domainGetState', { dom: healthy }).catch((e: unknown) => e), { code: 'CLOSED' });

  await libvirtd.start();
  t.match(await reader.next(), { value: { kind: 'resync', reason: 'reconnected' } });
  while (lv.state.name !== 'connected') await sleep(10);
  t.equal((await lv.call('domainGetState', { dom: healthy })).state, DOMAIN_STATE.RUNNING, 'the guest ran on');
  await lv.call('domainSuspend', { dom: healthy });
  const next = await reader.next();
  t.match(next, { value: { kind: 'lifecycle', dom: { name: 'healthy' } } }, 'events are registered again');
  t.ok((await lv.allDomainStats({ stats: STATS.STATE })).length === 1, 'statistics too');
  events.close();
  stop();
});
