import t from 'tap';
import { domainStateOf, lifecycleEventOf } from '../../agent/core/domain-state.js';

void t.test('libvirt’s numbers become its names', (t) => {
  t.same(domainStateOf(1, 1), { state: 'running', reason: 'booted' });
  t.same(domainStateOf(5, 2), { state: 'shutoff', reason: 'destroyed' });
  t.same(domainStateOf(3, 5), { state: 'paused', reason: 'ioerror' });
  t.same(domainStateOf(6, 1), { state: 'crashed', reason: 'panicked' });
  t.same(domainStateOf(5, 99), { state: 'shutoff', reason: '99' });
  t.same(domainStateOf(77, 0), { state: 'gone', reason: 'state 77' });
  t.same(lifecycleEventOf(5, 0), { event: 'stopped', detail: 'shutdown' });
  t.same(lifecycleEventOf(6, 1), { event: 'shutdown', detail: 'guest' });
  t.same(lifecycleEventOf(99, 3), { event: 'event 99', detail: '3' });
  t.end();
});
