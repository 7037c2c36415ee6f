import t from 'tap';
import { describeExit, exitCause } from '../../agent/core/exit-cause.js';
import type { ExitFacts } from '../../agent/core/exit-cause.js';

const cause = (events: string, requested: ExitFacts['requested'] = 'none', shutoffReason = '') =>
  exitCause({
    events: events
      .split(' ')
      .filter(Boolean)
      .map((one) => ({ event: one.split('/')[0]!, detail: one.split('/')[1] ?? '' })),
    requested,
    shutoffReason,
  });

void t.test('why a VM stopped', (t) => {
  const rows: readonly (readonly [string, string, ReturnType<typeof exitCause>])[] = [
    ['started/booted shutdown/guest stopped/shutdown', 'none', 'guest-shutdown'],
    ['shutdown/guest stopped/shutdown', 'shutdown', 'requested-shutdown'],
    ['shutdown/host stopped/shutdown', 'none', 'host-shutdown'],
    ['shutdown/host stopped/shutdown', 'destroy', 'requested-destroy'],
    ['stopped/destroyed', 'destroy', 'requested-destroy'],
    // We had asked the guest, and somebody else pulled the plug.
    ['stopped/destroyed', 'shutdown', 'destroyed'],
    ['stopped/destroyed', 'none', 'destroyed'],
    ['stopped/failed', 'none', 'qemu-crash'],
    ['stopped/crashed', 'none', 'qemu-crash'],
    ['crashed/panicked stopped/destroyed', 'none', 'guest-crash'],
    ['crashed/panicked stopped/crashed', 'shutdown', 'guest-crash'],
    ['stopped/migrated', 'none', 'migrated'],
    ['stopped/saved', 'none', 'saved'],
    ['stopped/shutdown', 'none', 'unknown'],
    ['', 'none', 'unknown'],
  ];
  for (const [events, requested, expected] of rows) {
    t.equal(cause(events, requested as ExitFacts['requested']), expected, `${events} (${requested})`);
    t.match(describeExit(expected), /\.$/);
  }
  t.equal(cause('', 'none', 'destroyed'), 'destroyed', 'the reason speaks when the events were missed');
  t.equal(cause('', 'none', 'crashed'), 'unknown', 'libvirt says this of any end that it did not see');
  t.equal(cause('', 'none', 'daemon'), 'unknown');
  t.equal(cause('', 'none', 'failed'), 'qemu-crash');
  t.end();
});
