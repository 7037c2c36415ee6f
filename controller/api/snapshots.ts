import { parseModel, snapshotListToWire, snapshotToWire } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { descriptionSchema, labelsSchema } from '../../proto/model/names.js';
import {
  snapshotNameSchema,
  snapshotWishSchema,
  type Snapshot,
  type SnapshotChanges,
  type SnapshotList,
} from '../../proto/model/snapshot.js';
import type { snapshotService } from '../../proto/services.js';
import type { OperationArgs, VmDoc } from '../core/model.js';
import type { Agents, Operations } from '../engine/env.js';
import type { NewId } from '../engine/ids.js';
import type { Store, Stored } from '../store/store.js';
import type { ApiHandlers, Call } from './call.js';
import { required, requireVm } from './lookup.js';
import { checkRequestId, earlierOperation, hashRequest } from './request.js';
import { operationToWire } from './wire/operation.js';

export interface SnapshotsDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly operations: Operations;
  readonly newId: NewId;
}

/** The snapshot service. The host that has the disks knows their snapshots; mutations are operations on the VM. */
export function createSnapshots(deps: SnapshotsDeps): ApiHandlers<(typeof snapshotService)['methods']> {
  return {
    listSnapshots: async (request, call) => {
      const vm = requireVm(deps.store, request.vm);
      return snapshotListToWire(inTreeOrder(await snapshotsOf(vm, call, deps)), vm.id);
    },

    getSnapshot: async (request, call) => {
      const vm = requireVm(deps.store, request.vm);
      const list = await snapshotsOf(vm, call, deps);
      return snapshotToWire(findSnapshot(list, request.snapshot, vm), list.now, vm.id);
    },

    createSnapshot: (request, call) =>
      submit('CreateSnapshot', request, call, deps, () => {
        const id = deps.newId('snap');
        const { description, tags, disks, memory, quiesce } = request;
        if (memory && quiesce)
          throw invalidField('quiesce', 'goes with disks alone; memory is of one moment by itself', 'Leave it out.');
        const draft = {
          ...{ id, name: request.name === '' ? id : request.name, description, memory, quiesce },
          tags: { ...tags },
          disks: [...disks],
        };
        return Promise.resolve({ kind: 'snapshot.create', wish: parseModel(snapshotWishSchema, draft, '') });
      }),

    updateSnapshot: (request, call) =>
      submit('UpdateSnapshot', request, call, deps, async (vm) => {
        const changes = changesOf(request);
        const { id, name } = findSnapshot(await snapshotsOf(vm, call, deps), request.snapshot, vm);
        return { kind: 'snapshot.update', snapshot: id, name, changes };
      }),

    deleteSnapshot: (request, call) =>
      submit('DeleteSnapshot', request, call, deps, async (vm) => {
        const { id, name } = findSnapshot(await snapshotsOf(vm, call, deps), request.snapshot, vm);
        return { kind: 'snapshot.delete', snapshot: id, name };
      }),

    revertSnapshot: (request, call) =>
      submit('RevertSnapshot', request, call, deps, async (vm) => {
        const { id, name, memory } = findSnapshot(await snapshotsOf(vm, call, deps), request.snapshot, vm);
        return { kind: 'snapshot.revert', snapshot: id, name, memory };
      }),

    flattenDisks: (request, call) =>
      submit('FlattenDisks', request, call, deps, () =>
        Promise.resolve({ kind: 'snapshot.flatten', disks: [...request.disks] }),
      ),
  };
}

interface Mutation {
  readonly vm: string;
  readonly requestId: string;
  readonly validateOnly: boolean;
}

async function submit(
  method: string,
  request: Mutation,
  call: Call,
  deps: SnapshotsDeps,
  argsOf: (vm: Stored<VmDoc>) => Promise<OperationArgs>,
): Promise<ostler.v1.Operation.$Properties> {
  const vm = requireVm(deps.store, request.vm);
  const requestId = checkRequestId(request.requestId);
  // The same request again: what it named may be gone by now, by itself. The engine compares the two.
  const earlier = request.validateOnly ? undefined : earlierOperation(deps.store, call.caller.name, requestId);
  const result = await deps.operations.submit({
    target: vm.id,
    args: earlier?.args ?? (await argsOf(vm)),
    requestId,
    requestHash: hashRequest(method, request),
    actor: call.caller.name,
    etag: '',
    validateOnly: request.validateOnly,
  });
  const operation = request.validateOnly ? { ...result.operation, id: '' } : result.operation;
  return operationToWire(operation, deps.store, { plan: result.plan });
}

/** What the VM's host tells of its snapshots. */
export function snapshotsOf(
  vm: Stored<VmDoc>,
  call: Call,
  { agents }: Pick<SnapshotsDeps, 'agents'>,
): Promise<SnapshotList> {
  const { hostId, record } = vm.value;
  // On no host it has no disks, and so no snapshots of them.
  if (hostId === '') return Promise.resolve({ snapshots: [], now: '', changedBytes: 0 });
  return agents.listSnapshots(hostId, record, call.signal);
}

/** By id, else by name. NOT_FOUND names the field. */
export function findSnapshot(list: SnapshotList, ref: string, vm: Stored<VmDoc>, field = 'snapshot'): Snapshot {
  required(ref, field);
  const found = list.snapshots.find((one) => one.id === ref) ?? list.snapshots.find((one) => one.name === ref);
  if (found !== undefined) return found;
  const { name } = vm.value.record;
  throw new OstlerError('NOT_FOUND', `${field}: ${name} has no snapshot ${JSON.stringify(ref.slice(0, 80))}.`, {
    field,
    remedy: `See what there is: \`ostler snapshot list ${name}\`.`,
  });
}

/** Parents before children, older ones first. */
function inTreeOrder(list: SnapshotList): SnapshotList {
  const known = new Set(list.snapshots.map((one) => one.id));
  const below = (parent: string): Snapshot[] =>
    list.snapshots
      .filter((one) => (known.has(one.parent) ? one.parent : '') === parent)
      .sort((a, b) => a.time - b.time || (a.id < b.id ? -1 : 1))
      .flatMap((one) => [one, ...below(one.id)]);
  return { ...list, snapshots: below('') };
}

const CHANGEABLE = ['name', 'description', 'tags'] as const;

function changesOf(request: ostler.v1.UpdateSnapshotRequest): SnapshotChanges {
  const { values } = request;
  if (values === null || values === undefined) throw invalidField('values', 'is missing');
  const changes: { -readonly [K in keyof SnapshotChanges]: SnapshotChanges[K] } = {};
  const paths = request.updateMask?.paths ?? [];
  if (paths.length === 0) throw invalidField('update_mask', 'names no field', `These can: ${CHANGEABLE.join(', ')}.`);
  for (const path of paths) {
    if (path === 'name') changes.name = parseModel(snapshotNameSchema, values.name ?? '', 'values.name');
    else if (path === 'description')
      changes.description = parseModel(descriptionSchema, values.description ?? '', 'values.description');
    else if (path === 'tags') changes.tags = parseModel(labelsSchema, { ...values.tags }, 'values.tags');
    else
      throw new OstlerError('UNSUPPORTED', `update_mask: ${JSON.stringify(path.slice(0, 80))} cannot be changed.`, {
        field: 'update_mask',
        remedy: `These can: ${CHANGEABLE.join(', ')}.`,
      });
  }
  return changes;
}
