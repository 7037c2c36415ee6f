import t from 'tap';
import type { VmDoc } from '../../controller/core/model.js';
import { isStray, reconcile, type Observed } from '../../controller/core/reconcile.js';
import { vmState } from '../../controller/core/vm-state.js';
import type { DomainReport, ExitCause } from '../../proto/model/host.js';
import { aRecord, aVm, id, uuid } from '../store/documents.js';
import { anEntry } from './views.js';

function aReport(change: Partial<DomainReport>): DomainReport {
  return {
    uuid: uuid(1),
    name: 'web1',
    state: 'running',
    reason: '',
    managed: true,
    vmId: id('i', 1),
    epoch: 0,
    guestAgentConnected: false,
    addresses: [],
    consoleAvailable: false,
    ...change,
  };
}

const placed = (settled: VmDoc['settled'], change: Partial<VmDoc> = {}): VmDoc =>
  aVm(1, { hostId: id('h', 1), settled, record: aRecord(1, { startedOnce: true }), ...change });
const seen = (report: DomainReport | undefined): Observed => ({ hostId: id('h', 1), hostName: 'h1', report });

// M-005
void t.test('settled states, and UNKNOWN with its reason when the host cannot be heard', async (t) => {
  const here = anEntry(1);
  t.same(vmState(placed('running'), undefined, here), { state: 'RUNNING', reason: '' });
  const silent = anEntry(1, { online: false, reason: 'does not answer since noon' });
  for (const settled of ['running', 'stopped', 'created', 'paused'] as const) {
    const shown = vmState(placed(settled), undefined, silent);
    t.same(shown, { state: 'UNKNOWN', reason: 'h1 does not answer since noon' });
  }
  t.equal(vmState(placed('destroyed'), undefined, silent).state, 'DESTROYED');
  t.equal(vmState(placed('error', { stateReason: 'x' }), undefined, silent).reason, 'x');
  const deaf = anEntry(1, { hypervisorConnected: false, hypervisorReason: 'no socket' });
  t.match(vmState(placed('running'), undefined, deaf), { state: 'UNKNOWN', reason: /libvirt on h1.*no socket/ });
  t.match(vmState(placed('running'), undefined, undefined), { state: 'UNKNOWN', reason: /no record/ });
  t.equal(vmState(placed('expunged', { hostId: '' }), undefined, undefined).state, 'EXPUNGED');
  await Promise.resolve();
});

void t.test('what is seen on the host and what the record becomes', async (t) => {
  const gone = undefined;
  const off = (reason: string, exitCause: ExitCause): DomainReport => aReport({ state: 'shutoff', reason, exitCause });
  const cases: readonly [VmDoc, DomainReport | undefined, string | undefined, RegExp | undefined][] = [
    [placed('running'), aReport({}), undefined, undefined],
    [placed('running'), aReport({ state: 'shutdown' }), undefined, undefined],
    [placed('running'), off('shutdown', 'guest-shutdown'), 'stopped', /^the guest shut itself down/],
    [placed('running'), off('shutdown', 'host-shutdown'), 'stopped', /^its host ended it/],
    [placed('running'), off('shutdown', 'unknown'), 'stopped', /does not tell/],
    [placed('running'), off('crashed', 'guest-crash'), 'stopped', /kernel panicked/],
    [placed('running'), off('failed', 'qemu-crash'), 'stopped', /QEMU ended unexpectedly/],
    [placed('running'), off('destroyed', 'destroyed'), 'stopped', /outside of Ostler/],
    [placed('running'), off('saved', 'saved'), 'suspended', /suspended outside/],
    [placed('suspended'), off('saved', 'saved'), undefined, undefined],
    // An agent that does not tell the cause: the reason alone is no proof of anything.
    [placed('running'), aReport({ state: 'shutoff', reason: 'shutdown' }), 'stopped', /does not tell which/],
    [placed('running'), aReport({ state: 'shutoff', reason: 'destroyed' }), 'stopped', /outside/],
    [placed('running'), aReport({ state: 'shutoff', reason: 'failed' }), 'stopped', /error/],
    [placed('running'), aReport({ state: 'crashed' }), 'stopped', /crashed/],
    [placed('running'), aReport({ state: 'paused', reason: 'ioerror' }), 'paused', /disk could not be written/],
    [placed('stopped'), aReport({}), 'running', /outside of Ostler/],
    [placed('created'), aReport({ state: 'shutoff' }), undefined, undefined],
    [placed('paused'), aReport({}), 'running', /resumed/],
    [placed('running'), gone, 'error', /not defined on h1/],
    [placed('running'), aReport({ state: 'gone' }), 'error', /not defined/],
    [placed('destroyed'), gone, undefined, undefined],
    [placed('destroyed'), aReport({}), undefined, undefined],
    [placed('error', { stateReason: 'undo failed' }), aReport({}), undefined, undefined],
    [placed('expunged'), aReport({}), undefined, undefined],
  ];
  for (const [vm, report, settled, reason] of cases) {
    const correction = reconcile(vm, seen(report), 9);
    const what = `${vm.settled} + ${report?.state ?? 'absent'} ${report?.reason ?? ''}`;
    t.equal(correction?.vm.settled, settled, what);
    if (reason !== undefined) t.match(correction?.vm.stateReason, reason, what);
  }
  const lost = reconcile(placed('running'), seen(undefined), 9)?.vm;
  if (lost === undefined) throw new Error('not corrected');
  t.equal(reconcile(lost, seen(aReport({})), 10)?.vm.settled, 'running', 'a missing domain may come back');
  await Promise.resolve();
});

void t.test('a newer epoch is believed, an older copy is a stray', async (t) => {
  const vm = placed('stopped', { record: aRecord(1, { epoch: 4 }) });
  const elsewhere: Observed = { hostId: id('h', 2), hostName: 'h2', report: aReport({ epoch: 5 }) };
  t.match(reconcile(vm, elsewhere, 9)?.vm, { hostId: id('h', 2), settled: 'running', record: { epoch: 5 } });
  t.equal(reconcile(vm, { ...elsewhere, report: aReport({ epoch: 4 }) }, 9), undefined);
  t.equal(isStray(vm, id('h', 2), aReport({ epoch: 4 })), true);
  t.equal(isStray(vm, id('h', 2), aReport({ epoch: 5 })), false);
  t.equal(isStray(vm, id('h', 1), aReport({ epoch: 4 })), false);
  await Promise.resolve();
});
