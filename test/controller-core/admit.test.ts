import t from 'tap';
import { admit } from '../../controller/core/admit.js';
import type { OperationArgs, OperationDoc, OperationKind, SettledState, VmDoc } from '../../controller/core/model.js';
import { aRecord, aVm, id } from '../store/documents.js';
import { MIB } from '../../proto/model/vm.js';
import { DEFAULT_POLICY } from '../../controller/core/view.js';
import { anEntry, aView } from './views.js';

const STATES: readonly SettledState[] = [
  ...(['created', 'running', 'stopped', 'paused', 'suspended', 'destroyed', 'expunged', 'error'] as const),
];
const stop = (force: boolean): OperationArgs => ({
  kind: 'vm.stop',
  force,
  timeoutSeconds: 90,
  onTimeout: 'force-off',
});
const rebuild: OperationArgs = { kind: 'vm.rebuild', spec: aRecord(1).spec };

function ask(args: OperationArgs, vm: VmDoc, actor = 'ann') {
  const view = aView([anEntry(1)]);
  return admit({ target: vm.record.id, args, actor, vm, image: undefined, holder: undefined, view });
}
const on = (settled: SettledState, change: Partial<VmDoc> = {}): VmDoc =>
  aVm(1, { settled, hostId: id('h', 1), ...change });

void t.test('who may do what from which state; every refusal says what to do', (t) => {
  const rows: readonly (readonly [string, OperationArgs, string])[] = [
    ['C-016 start', { kind: 'vm.start' }, 'created stopped'],
    ['C-017 stop', stop(false), 'running'],
    ['stop --force', stop(true), 'running paused suspended'],
    ['C-018 reboot', { kind: 'vm.reboot', force: false }, 'running'],
    ['M-019 delete', { kind: 'vm.delete', force: false }, 'created running stopped suspended'],
    ['delete --force', { kind: 'vm.delete', force: true }, 'created running stopped paused suspended'],
    [
      'expunge --force',
      { kind: 'vm.expunge', force: true },
      'created running stopped paused suspended destroyed error',
    ],
    ['C-013 edit', { kind: 'vm.update', changes: {} }, 'created running stopped paused suspended'],
    ['M-021 undelete', { kind: 'vm.undelete' }, 'destroyed'],
    ['pause', { kind: 'vm.pause' }, 'running'],
    ['resume', { kind: 'vm.resume' }, 'paused suspended'],
    ['suspend', { kind: 'vm.suspend' }, 'running paused'],
    ['nmi', { kind: 'vm.nmi' }, 'running'],
    ['M-036 rebuild', rebuild, 'created stopped'],
  ];
  for (const [what, args, allowed] of rows) {
    const refusals = STATES.map((state) => ({ state, error: ask(args, on(state)) }));
    t.equal(
      refusals
        .filter(({ error }) => error === undefined)
        .map(({ state }) => state)
        .join(' '),
      allowed,
      what,
    );
    for (const { state, error } of refusals)
      if (error !== undefined) t.equal(error.code, 'WRONG_STATE', `${what} ${state}`);
  }
  t.match(ask({ kind: 'vm.start' }, on('suspended'))?.remedy, /ostler vm resume/);
  t.match(ask(stop(false), on('paused'))?.remedy, /resume.*--force/);
  t.match(ask(stop(false), on('suspended'))?.message, /saved memory would be lost/);
  t.match(ask(rebuild, on('running'))?.remedy, /Stop it first/);
  t.end();
});

void t.test('what another system made is its own; a protected VM stays', (t) => {
  const theirs = on('running', { record: aRecord(1, { createdBy: 'scaler' }) });
  const verbs: readonly OperationArgs[] = [
    ...[{ kind: 'vm.start' }, stop(true), { kind: 'vm.reboot', force: true }, { kind: 'vm.delete', force: true }],
    ...[{ kind: 'vm.expunge', force: true }, { kind: 'vm.update', changes: {} }, { kind: 'vm.undelete' }],
    ...[{ kind: 'vm.pause' }, { kind: 'vm.resume' }, { kind: 'vm.suspend' }, { kind: 'vm.nmi' }, rebuild],
  ] as const;
  for (const args of verbs) {
    // C-014, C-015, C-021
    t.match(ask(args, theirs), {
      code: 'WRONG_STATE',
      message: /managed by scaler/,
      metadata: { created_by: 'scaler' },
    });
  }
  t.equal(ask(stop(true), theirs, 'scaler'), undefined, 'its maker may');
  const record = aRecord(1);
  const kept = on('stopped', { record: { ...record, spec: { ...record.spec, deleteProtection: true } } });
  for (const kind of ['vm.delete', 'vm.expunge'] as const)
    t.match(ask({ kind, force: true }, kept), { code: 'WRONG_STATE', remedy: /--delete-protection off/ });
  t.equal(ask({ kind: 'vm.start' }, kept), undefined);
  t.end();
});

// M-046, M-049
void t.test('growth of a running VM may be switched off; a stopped one grows all the same', (t) => {
  const { spec } = aRecord(1);
  const cpu = { ...spec, cpu: { ...spec.cpu, vcpus: 2, maxVcpus: 2, cores: 2 } };
  const memory = { ...spec, memory: { sizeBytes: 1024 * MIB, maxSizeBytes: 1024 * MIB } };
  const asked = (to: typeof spec, settled: SettledState, liveGrowth: boolean) => {
    const view = aView([anEntry(1)], { policy: { ...DEFAULT_POLICY, liveGrowth } });
    const args = { kind: 'vm.update', changes: { spec: to } } as const;
    return admit({
      target: id('i', 1),
      args,
      actor: 'ann',
      vm: on(settled),
      image: undefined,
      holder: undefined,
      view,
    });
  };
  t.equal(DEFAULT_POLICY.liveGrowth, true, 'C-109: on, unless somebody switches it off');
  for (const [to, field] of [[cpu, 'spec.cpu.vcpus'] as const, [memory, 'spec.memory.size_bytes'] as const])
    for (const settled of ['running', 'paused'] as const) {
      t.equal(asked(to, settled, true), undefined);
      t.match(asked(to, settled, false), { code: 'WRONG_STATE', field, remedy: /Stop the VM first.*liveGrowth/ });
    }
  t.equal(asked(cpu, 'stopped', false), undefined);
  const limits = { ...spec, shutdownTimeoutSeconds: 5 };
  t.equal(asked(limits, 'running', false), undefined, 'other changes are not growth');
  t.end();
});

function anOperation(kind: OperationKind): OperationDoc {
  return {
    ...{ id: id('op', 1), kind, args: { kind: 'vm.start' }, target: id('i', 1), targetName: 'vm1', state: 'running' },
    ...{ percent: 0, detail: '', steps: [], error: undefined, cancelRequested: false, createdBy: 'ann', requestId: '' },
    ...{ requestHash: '', createTime: 1, endTime: 0, placement: undefined, outbox: [] },
    cursor: { step: '', attempt: 0, hostId: '', waiting: '', notBefore: 0 },
  };
}

// C-134
void t.test('while a snapshot is copied into a new VM, nothing of the old one is merged or removed', (t) => {
  const vm = on('stopped');
  const copied = aView([anEntry(1)], { copiesOf: (vmId) => (vmId === vm.record.id ? ['twin'] : []) });
  const common = { target: vm.record.id, actor: 'ann', vm, image: undefined, holder: undefined, view: copied };
  const moves: readonly OperationArgs[] = [
    { kind: 'snapshot.delete', snapshot: 's', name: 'one' },
    { kind: 'snapshot.revert', snapshot: 's', name: 'one', memory: false },
    { kind: 'snapshot.flatten', disks: [] },
    { kind: 'vm.expunge', force: true },
    rebuild,
  ];
  for (const args of moves)
    t.match(admit({ ...common, args }), { code: 'IN_USE', message: /twin/, remedy: /Wait/ }, args.kind);
  t.equal(admit({ ...common, args: { kind: 'vm.start' } }), undefined, 'it may start');
  const record = aRecord(2, { name: 'twin' });
  const source = { record: vm.record, hostId: vm.hostId, snapshot: 's', name: 'one' };
  const create: OperationArgs = { kind: 'vm.create', record, start: true, source };
  const asked = { ...common, view: aView([anEntry(1)]), target: record.id, vm: undefined, args: create };
  t.equal(admit({ ...asked, source: { vm, holder: undefined } }), undefined);
  const held = (kind: 'snapshot.delete' | 'vm.start') => admit({ ...asked, source: { vm, holder: anOperation(kind) } });
  t.match(held('snapshot.delete'), { code: 'OPERATION_RUNNING' }, 'and the other way round');
  t.equal(held('vm.start'), undefined);
  t.match(admit({ ...asked, source: { vm: on('expunged'), holder: undefined } }), { code: 'NOT_FOUND' });
  t.match(admit({ ...asked, source: { vm: on('error'), holder: undefined } }), { code: 'WRONG_STATE' });
  t.end();
});
