/** What the crash loop does over and over: every kind of operation, repeatable from the start because of its request ids. */
import type { OperationArgs, OperationDoc } from '../../controller/core/model.js';
import type { Engine } from '../../controller/engine/engine.js';
import { aRecord, id } from '../store/documents.js';

interface ScriptStep {
  readonly target: string;
  readonly args: OperationArgs;
  readonly ends: OperationDoc['state'];
}

const VM = id('i', 1);
const FAILING = id('i', 2);
const SNAPSHOT = { snapshot: 'snap-0000000001', name: 'before' };
const { spec } = aRecord(1);
const GROWN = { ...spec, cpu: { ...spec.cpu, vcpus: 2, maxVcpus: 2, cores: 2 } };

export const SCRIPT: readonly ScriptStep[] = [
  { target: VM, args: { kind: 'vm.create', record: aRecord(1), start: true }, ends: 'succeeded' },
  // The agent refuses to start this one: it is undone.
  { target: FAILING, args: { kind: 'vm.create', record: aRecord(2), start: true }, ends: 'failed' },
  {
    target: VM,
    args: { kind: 'vm.stop', force: false, timeoutSeconds: 9, onTimeout: 'keep-running' },
    ends: 'succeeded',
  },
  { target: VM, args: { kind: 'vm.start' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.reboot', force: false }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.nmi' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.pause' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.resume' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.suspend' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.resume' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.update', changes: { spec: GROWN } }, ends: 'succeeded' },
  {
    target: VM,
    args: {
      kind: 'snapshot.create',
      wish: {
        id: SNAPSHOT.snapshot,
        name: 'before',
        description: '',
        tags: {},
        disks: [],
        memory: false,
        quiesce: false,
      },
    },
    ends: 'succeeded',
  },
  {
    target: VM,
    args: { kind: 'snapshot.update', ...SNAPSHOT, changes: { description: 'before the upgrade' } },
    ends: 'succeeded',
  },
  { target: VM, args: { kind: 'snapshot.revert', ...SNAPSHOT, memory: true }, ends: 'succeeded' },
  { target: VM, args: { kind: 'snapshot.delete', ...SNAPSHOT }, ends: 'succeeded' },
  { target: VM, args: { kind: 'snapshot.flatten', disks: ['root'] }, ends: 'succeeded' },
  {
    target: VM,
    args: { kind: 'vm.stop', force: true, timeoutSeconds: 9, onTimeout: 'keep-running' },
    ends: 'succeeded',
  },
  { target: VM, args: { kind: 'vm.rebuild', spec: aRecord(1).spec }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.update', changes: { description: 'changed' } }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.delete', force: false }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.undelete' }, ends: 'succeeded' },
  { target: VM, args: { kind: 'vm.expunge', force: true }, ends: 'succeeded' },
  { target: id('img', 1), args: { kind: 'image.delete' }, ends: 'succeeded' },
];

/** Events that the script leaves, each once. */
export const SCRIPT_EVENTS: readonly string[] = [
  'vm.running',
  'vm.create.failed',
  'vm.stopped',
  'vm.running',
  'vm.rebooted',
  'vm.nmi-sent',
  'vm.paused',
  'vm.resumed',
  'vm.suspended',
  'vm.resumed',
  'vm.updated',
  'snapshot.created',
  'snapshot.updated',
  'snapshot.reverted',
  'snapshot.deleted',
  'snapshot.flattened',
  'vm.stopped',
  'vm.rebuilt',
  'vm.updated',
  'vm.destroyed',
  'vm.undeleted',
  'vm.expunged',
  'image.deleted',
];

/** Runs the script to its end. `acknowledged` hears of every operation that was taken in, before its end is awaited. */
export async function runScript(engine: Engine, acknowledged: (operationId: string) => void): Promise<void> {
  const { signal } = new AbortController();
  for (const [index, { target, args, ends }] of SCRIPT.entries()) {
    const { operation } = await engine.operations.submit({
      target,
      args,
      requestId: `step-${index}`,
      requestHash: String(index),
      actor: 'ann',
      etag: '',
      validateOnly: false,
    });
    acknowledged(operation.id);
    const done = await engine.operations.wait(operation.id, { timeoutMs: 30_000, untilChange: false, signal });
    if (done.state !== ends)
      throw new Error(`${args.kind} is ${done.state}, not ${ends}: ${done.error?.message ?? ''}`);
  }
}
