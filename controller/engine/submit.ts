import { OstlerError, isCode, type ErrorInfo as KitErrorInfo } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import { admit, type Asked } from '../core/admit.js';
import { describePlan } from '../core/describe.js';
import type { ErrorInfo } from '../core/error-info.js';
import type { ImageDoc, OperationDoc, VmDoc } from '../core/model.js';
import { advance, IDLE, isFinished, plannedCommand, type Advance } from '../core/operations/advance.js';
import { etagOf, type Store, type Stored, type Write } from '../store/store.js';
import type { SubmitRequest, SubmitResult } from './env.js';
import type { Executor } from './executors.js';
import type { NewId } from './ids.js';
import type { Publish } from './publisher.js';
import type { ViewIndex } from './view-index.js';

export interface SubmitDeps {
  readonly store: Store;
  readonly index: ViewIndex;
  readonly executor: Executor;
  readonly publish: Publish;
  readonly newId: NewId;
  readonly fault: FaultPoint;
}

const ROUNDS = 10;

/** Takes a request in, with its first step decided, in one commit. Called under the engine's lock. */
export async function submit(request: SubmitRequest, deps: SubmitDeps): Promise<SubmitResult> {
  for (let round = 0; round < ROUNDS; round += 1) {
    const result = await submitOnce(request, deps);
    if (result !== undefined) return result;
  }
  throw new OstlerError('STORE_ERROR', `${request.target} changed ${ROUNDS} times while the request was taken in.`, {
    remedy: 'Repeat the request.',
  });
}

interface Target {
  readonly vm: Stored<VmDoc> | undefined;
  readonly image: Stored<ImageDoc> | undefined;
}

async function submitOnce(request: SubmitRequest, deps: SubmitDeps): Promise<SubmitResult | undefined> {
  const { store, index, fault } = deps;
  const known = knownRequest(request, deps);
  if (known !== undefined) return { operation: known, placement: known.placement, plan: [] };
  const target: Target = { vm: store.get('vm', request.target), image: store.get('image', request.target) };
  checkEtag(request, target);
  const view = index.view();
  refuse(
    admit({
      target: request.target,
      args: request.args,
      actor: request.actor,
      vm: target.vm?.value,
      image: target.image?.value,
      ...sourceOf(request, store),
      holder: target.vm === undefined ? undefined : store.get('operation', target.vm.value.operationId)?.value,
      view,
    }),
  );
  const op = newOperation(request, target, deps.newId('op'), view.now);
  const vm = heldVm(request, target, op, view.now);
  const first = advance(op, vm, view, undefined);
  if (first.op.state === 'failed') refuse(first.op.error);
  const plan = describePlan(request.args, first.vm ?? vm, first.op.placement, view);
  const result: SubmitResult = { operation: first.op, placement: first.op.placement, plan };
  if (request.validateOnly) return result;
  fault('submit.decided');
  if (!(await commitNew(store, first, target))) return undefined;
  fault('submit.stored');
  await deps.publish(first.op);
  const command = plannedCommand(first.op, first.vm, index.view());
  if (command !== undefined) deps.executor.ensure(first.op, command);
  return result;
}

/** The VM that a new one is copied from, as it is now. */
function sourceOf({ args }: SubmitRequest, store: Store): Pick<Asked, 'source'> {
  if (args.kind !== 'vm.create' || args.source === undefined) return {};
  const vm = store.get('vm', args.source.record.id)?.value;
  const holder = vm === undefined ? undefined : store.get('operation', vm.operationId)?.value;
  return { source: { vm, holder } };
}

/** The operation of an earlier request with the same id by the same person. */
function knownRequest(request: SubmitRequest, { store, index }: SubmitDeps): OperationDoc | undefined {
  if (request.requestId === '' || request.validateOnly) return undefined;
  const id = index.operationByRequest(request.actor, request.requestId);
  const known = id === undefined ? undefined : store.get('operation', id)?.value;
  if (known === undefined || known.requestHash === request.requestHash) return known;
  throw new OstlerError('REQUEST_ID_REUSED', `request_id: was used before for ${known.kind} (${known.id}).`, {
    field: 'request_id',
    remedy: 'Make a new id for every new request; repeat one only to repeat the same request.',
    metadata: { operation: known.id },
  });
}

function checkEtag({ etag, target }: SubmitRequest, { vm, image }: Target): void {
  const stored = vm ?? image;
  if (etag === '' || stored === undefined || etagOf(stored) === etag) return;
  throw new OstlerError('STALE_ETAG', `etag: ${target} has changed since it was read.`, {
    field: 'etag',
    remedy: 'Read it again and repeat the request with its new etag.',
    metadata: { present: etagOf(stored) },
  });
}

function refuse(error: ErrorInfo | undefined): void {
  if (error === undefined) return;
  const code = isCode(error.code) ? error.code : 'INTERNAL';
  throw OstlerError.fromInfo({ ...error, code } satisfies KitErrorInfo);
}

function newOperation(request: SubmitRequest, target: Target, id: string, now: number): OperationDoc {
  const { args } = request;
  const name =
    args.kind === 'vm.create' ? args.record.name : (target.vm?.value.record.name ?? target.image?.value.name);
  return {
    id,
    kind: args.kind,
    args,
    target: request.target,
    targetName: name ?? request.target,
    state: 'pending',
    percent: 0,
    detail: '',
    steps: [],
    error: undefined,
    cancelRequested: false,
    createdBy: request.actor,
    requestId: request.requestId,
    requestHash: request.requestHash,
    createTime: now,
    endTime: 0,
    placement: undefined,
    cursor: IDLE,
    outbox: [],
  };
}

/** The VM as the operation holds it; a new one for vm.create. */
function heldVm({ args }: SubmitRequest, { vm }: Target, op: OperationDoc, now: number): VmDoc | undefined {
  if (args.kind !== 'vm.create') return vm === undefined ? undefined : { ...vm.value, operationId: op.id };
  return {
    record: args.record,
    hostId: '',
    settled: 'creating',
    stateReason: '',
    operationId: op.id,
    updateTime: now,
    purgeTime: 0,
  };
}

async function commitNew(store: Store, { op, vm }: Advance, target: Target): Promise<boolean> {
  const writes: Write[] = [{ kind: 'operation', id: op.id, expect: 0, put: op }];
  if (vm !== undefined) {
    const held = isFinished(op) ? vm : { ...vm, operationId: op.id };
    writes.push({ kind: 'vm', id: op.target, expect: target.vm?.revision ?? 0, put: held });
  }
  if (op.kind === 'image.delete' && target.image !== undefined) {
    writes.push({ kind: 'image', id: op.target, expect: target.image.revision, remove: true });
  }
  try {
    await store.commit(writes);
    return true;
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'STALE_ETAG') return false;
    throw error;
  }
}
