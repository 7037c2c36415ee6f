import type { vmService } from '../../proto/services.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { CONSOLE_KINDS, enumFromWire, parseModel, TIMEOUT_ACTIONS } from '../../proto/convert.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { toWireTime } from '../../proto/time.js';
import { descriptionSchema, displayNameSchema, labelsSchema, nameSchema } from '../../proto/model/names.js';
import type { Tickets } from '../auth/tickets.js';
import type { OperationArgs, VmChanges, VmDoc } from '../core/model.js';
import { withChanges } from '../core/operations/vm-update.js';
import { RECOMMENDED_MEMORY_BYTES } from '../core/vm-defaults.js';
import type { VmStateName } from '../core/vm-state.js';
import type { Agents, Operations, SubmitResult } from '../engine/env.js';
import type { Stored } from '../store/store.js';
import type { ApiHandlers, Call } from './call.js';
import { requireVm } from './lookup.js';
import { listPage } from './paging.js';
import { checkRequestId, earlierOperation, hashRequest } from './request.js';
import { checkName, recordFromRequest, type RecordDeps } from './vm-create.js';
import { createVmActions } from './vm-actions.js';
import { operationToWire } from './wire/operation.js';
import { hostNameOf, liveToWire, vmToWire } from './wire/vm.js';

export interface VmsDeps extends RecordDeps {
  readonly agents: Agents;
  readonly operations: Operations;
  readonly tickets: Tickets;
  /** `http://127.0.0.1:7480`, without a slash at the end. */
  readonly publicUrl: string;
}

const FILTER_KEYS = [
  'id',
  'uuid',
  'name',
  'display_name',
  'state',
  'host',
  'os_type',
  'created_by',
  'description',
  'image',
  'address',
];
/** How long UpdateVm and UndeleteVm wait for their operation. */
const SETTLE_MS = 60_000;

/** The VM service: every mutation is an operation of the engine; here requests are parsed and answers made. */
export function createVms(deps: VmsDeps): ApiHandlers<(typeof vmService)['methods']> {
  const { store, operations } = deps;
  return {
    listVms: async (request) => {
      const asksState = /(^|\s)state[=:!]/.test(request.filter);
      const all = [...store.list('vm')].filter(({ value }) => request.showDeleted || asksState || !isGone(value));
      const page = listPage(all, {
        request,
        variant: String(request.showDeleted),
        known: { keys: FILTER_KEYS, labels: true },
        read: (vm, key) => readField(vm, key, deps),
        orders: ['name', 'create_time', 'state', 'host'],
        sortKey: (vm, key) => sortKey(vm, key, deps),
        id: (vm) => vm.id,
      });
      const { nextPageToken, totalSize } = page;
      return Promise.resolve({ vms: page.items.map((vm) => vmToWire(vm, deps)), nextPageToken, totalSize });
    },

    getVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const wire = vmToWire(vm, deps);
      if (!request.live) return wire;
      const { hostId, record } = vm.value;
      if (hostId === '') throw new OstlerError('WRONG_STATE', `${record.name} is on no host yet.`, { field: 'live' });
      return { ...wire, live: liveToWire(await deps.agents.inspect(hostId, record.uuid, call.signal)) };
    },

    createVm: (request, call) => createVm(request, call, deps),

    updateVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const changes = changesFromRequest(request, vm.id);
      checkSwitches(vm.value, changes);
      const args: OperationArgs = { kind: 'vm.update', changes };
      const result = await submit('UpdateVm', request, vm.id, args, call, deps);
      if (!request.validateOnly) return settled(result, call, deps);
      return vmToWire({ ...vm, value: { ...vm.value, record: withChanges(vm.value.record, changes) } }, deps);
    },

    deleteVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const kind = request.expunge ? 'vm.expunge' : 'vm.delete';
      return answer(await submit('DeleteVm', request, vm.id, { kind, force: request.force }, call, deps), deps);
    },

    undeleteVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const { etag, requestId } = request;
      const asked = { vm: vm.id, etag, requestId, validateOnly: false };
      return settled(await submit('UndeleteVm', asked, vm.id, { kind: 'vm.undelete' }, call, deps), call, deps);
    },

    startVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      return answer(await submit('StartVm', request, vm.id, { kind: 'vm.start' }, call, deps), deps);
    },

    stopVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      return answer(await submit('StopVm', request, vm.id, stopArgs(request, vm.value), call, deps), deps);
    },

    rebootVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      return answer(
        await submit('RebootVm', request, vm.id, { kind: 'vm.reboot', force: request.force }, call, deps),
        deps,
      );
    },

    ...createVmActions(deps, (...request) => submit(...request, deps).then((result) => answer(result, deps))),

    openConsole: (request, call) => Promise.resolve(openConsole(request, call, deps)),

    getVmUserData: (request) =>
      Promise.resolve({ userData: requireVm(store, request.vm).value.record.spec.cloudInit.userData }),
  };

  async function settled(result: SubmitResult, call: Call, all: VmsDeps): Promise<ostler.v1.Vm.$Properties> {
    const { id, target } = result.operation;
    const done = await operations.wait(id, { timeoutMs: SETTLE_MS, untilChange: false, signal: call.signal });
    if (done.error !== undefined && done.state !== 'succeeded') throw OstlerError.fromInfo(done.error as never);
    if (done.endTime === 0)
      throw new OstlerError('TIMEOUT', `${done.kind} (${id}) is still at work: ${done.detail}`, {
        remedy: `It goes on; watch it with \`ostler op wait ${id}\`.`,
        metadata: { operation: id },
      });
    return vmToWire(requireVm(store, target), all);
  }
}

function answer(result: SubmitResult, deps: VmsDeps): ostler.v1.Operation.$Properties {
  return operationToWire(result.operation, deps.store, { plan: result.plan });
}

export interface Mutation {
  readonly etag?: string;
  readonly requestId: string;
  readonly validateOnly: boolean;
}

async function submit(
  method: string,
  request: Mutation & object,
  target: string,
  args: OperationArgs,
  call: Call,
  deps: VmsDeps,
): Promise<SubmitResult> {
  const result = await deps.operations.submit({
    target,
    args,
    requestId: checkRequestId(request.requestId),
    requestHash: hashRequest(method, request),
    actor: call.caller.name,
    etag: request.etag ?? '',
    validateOnly: request.validateOnly,
  });
  // A plan is not an operation that anybody could look up.
  return request.validateOnly ? { ...result, operation: { ...result.operation, id: '' } } : result;
}

async function createVm(
  request: ostler.v1.CreateVmRequest,
  call: Call,
  deps: VmsDeps,
): Promise<ostler.v1.Operation.$Properties> {
  checkRequestId(request.requestId);
  // The same request again: its name is taken by now, by itself. The engine compares the two.
  const earlier = request.validateOnly ? undefined : earlierOperation(deps.store, call.caller.name, request.requestId);
  if (earlier !== undefined)
    return answer(await submit('CreateVm', request, earlier.target, earlier.args, call, deps), deps);
  const record = await recordFromRequest(request, deps);
  const args: OperationArgs = { kind: 'vm.create', record, start: request.start };
  const result = await submit('CreateVm', request, record.id, args, call, deps);
  if (!request.validateOnly || record.spec.memory.sizeBytes >= RECOMMENDED_MEMORY_BYTES) return answer(result, deps);
  const hint = 'Note: most guests need at least 512 MiB of memory.'; // V-15
  return answer({ ...result, plan: [...result.plan, hint] }, deps);
}

function stopArgs(request: ostler.v1.StopVmRequest, vm: VmDoc): OperationArgs {
  const { spec } = vm.record;
  const onTimeout = enumFromWire(TIMEOUT_ACTIONS, request.onTimeout, 'on_timeout') ?? spec.onShutdownTimeout;
  if (request.timeoutSeconds > 3600) throw invalidField('timeout_seconds', 'is more than an hour');
  if (request.force && request.timeoutSeconds !== 0)
    throw invalidField('timeout_seconds', 'is given together with force, which waits for nothing');
  const timeoutSeconds = request.timeoutSeconds === 0 ? spec.shutdownTimeoutSeconds : request.timeoutSeconds;
  return { kind: 'vm.stop', force: request.force, timeoutSeconds, onTimeout };
}

const CHANGEABLE = ['name', 'display_name', 'description', 'labels'] as const;
/** By a mask only: false is a value, too. */
const SWITCHES = ['spec.autostart', 'spec.delete_protection'];

function changesFromRequest(request: ostler.v1.UpdateVmRequest, id: string): VmChanges {
  const { values } = request;
  if (values === null || values === undefined) throw invalidField('values', 'is missing');
  const paths = request.updateMask?.paths ?? [];
  // AIP-134: without a mask, the fields that are there.
  const wanted = paths.length > 0 ? paths : CHANGEABLE.filter((path) => isPresent(values, path));
  if (wanted.length === 0) throw invalidField('update_mask', 'names no field, and `values` holds none');
  const changes: { -readonly [K in keyof VmChanges]: VmChanges[K] } = {};
  for (const path of wanted) {
    switch (path) {
      case 'name':
        changes.name = parseModel(nameSchema, values.name ?? '', 'values.name');
        checkName(changes.name, id);
        break;
      case 'display_name':
      case 'displayName':
        changes.displayName = parseModel(displayNameSchema, values.displayName ?? '', 'values.display_name');
        break;
      case 'description':
        changes.description = parseModel(descriptionSchema, values.description ?? '', 'values.description');
        break;
      case 'labels':
        changes.labels = parseModel(labelsSchema, { ...values.labels }, 'values.labels');
        break;
      case 'spec.autostart':
        changes.autostart = values.spec?.autostart ?? false;
        break;
      case 'spec.delete_protection':
      case 'spec.deleteProtection':
        changes.deleteProtection = values.spec?.deleteProtection ?? false;
        break;
      default:
        throw new OstlerError('UNSUPPORTED', `update_mask: ${JSON.stringify(path.slice(0, 80))} cannot be changed.`, {
          field: 'update_mask',
          remedy: `These can: ${[...CHANGEABLE, ...SWITCHES].join(', ')}.`,
        });
    }
  }
  return changes;
}

function checkSwitches({ record }: VmDoc, changes: VmChanges): void {
  if (changes.autostart !== true || record.spec.resetRootAtReboot !== true) return;
  const why = 'excludes reset_root_at_reboot: the host would start the VM by itself, with the disk as it is';
  throw invalidField('values.spec.autostart', why);
}

function isPresent(values: ostler.v1.Vm.$Properties, path: (typeof CHANGEABLE)[number]): boolean {
  if (path === 'labels') return Object.keys(values.labels ?? {}).length > 0;
  const value = path === 'display_name' ? values.displayName : values[path];
  return value !== '' && value !== null && value !== undefined;
}

function openConsole(
  request: ostler.v1.OpenConsoleRequest,
  call: Call,
  deps: VmsDeps,
): ostler.v1.ConsoleTicket.$Properties {
  const vm = requireVm(deps.store, request.vm);
  const kind = enumFromWire(CONSOLE_KINDS, request.kind, 'kind');
  if (kind === undefined) throw invalidField('kind', 'is missing', 'Say SERIAL or VNC.');
  const { state, reason } = deps.operations.vmState(vm);
  const up: readonly VmStateName[] = ['RUNNING', 'PAUSED', 'STARTING', 'STOPPING', 'REBOOTING'];
  if (!up.includes(state)) {
    const why = reason === '' ? '' : ` (${reason})`;
    throw new OstlerError(
      'WRONG_STATE',
      `${vm.value.record.name} is ${state}${why}; only a VM that runs has a console.`,
      {
        remedy: `Start it: \`ostler start ${vm.value.record.name}\`.`,
        metadata: { state },
      },
    );
  }
  const { ticket, expireTime } = deps.tickets.issue({ vmId: vm.id, kind, actor: call.caller.name });
  const query = new URLSearchParams({ vm: vm.id, ticket }).toString();
  const websocketUrl = `${deps.publicUrl.replace(/^http/, 'ws')}/console?${query}`;
  const page = new URLSearchParams({ vm: vm.id, name: vm.value.record.name, ticket }).toString();
  return {
    url: kind === 'vnc' ? `${deps.publicUrl}/vnc.html?${page}` : websocketUrl,
    websocketUrl,
    expireTime: toWireTime(expireTime),
  };
}

function isGone(vm: VmDoc): boolean {
  return vm.settled === 'destroyed' || vm.settled === 'expunged';
}

function readField(vm: Stored<VmDoc>, key: string, deps: VmsDeps): string | readonly string[] | undefined {
  const { record, hostId } = vm.value;
  if (key.startsWith('label.'))
    return Object.hasOwn(record.labels, key.slice(6)) ? record.labels[key.slice(6)] : undefined;
  switch (key) {
    case 'id':
    case 'uuid':
    case 'name':
    case 'description':
      return record[key];
    case 'display_name':
      return record.displayName;
    case 'created_by':
      return record.createdBy;
    case 'state':
      return deps.operations.vmState(vm).state;
    case 'host':
      return hostId === '' ? [] : [hostNameOf(deps.store, hostId), hostId];
    case 'os_type':
      return record.spec.osType;
    case 'image':
      return record.spec.disks.flatMap(({ image }) => [image, deps.store.get('image', image)?.value.name ?? '']);
    case 'address':
      return deps.agents.view(hostId)?.domains?.get(record.uuid)?.addresses;
    default:
      return undefined;
  }
}

function sortKey(vm: Stored<VmDoc>, key: 'name' | 'create_time' | 'state' | 'host', deps: VmsDeps): string | number {
  switch (key) {
    case 'name':
      return vm.value.record.name;
    case 'create_time':
      return vm.value.record.createTime;
    case 'state':
      return deps.operations.vmState(vm).state;
    case 'host':
      return hostNameOf(deps.store, vm.value.hostId);
  }
}
