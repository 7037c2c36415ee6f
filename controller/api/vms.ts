import type { vmService } from '../../proto/services.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { CONSOLE_KINDS, enumFromWire, TIMEOUT_ACTIONS } from '../../proto/convert.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { toWireTime } from '../../proto/time.js';
import type { Tickets } from '../auth/tickets.js';
import type { OperationArgs, VmDoc } from '../core/model.js';
import { RECOMMENDED_MEMORY_BYTES } from '../core/vm-defaults.js';
import type { VmStateName } from '../core/vm-state.js';
import type { SubmitResult } from '../engine/env.js';
import type { Stored } from '../store/store.js';
import type { ApiHandlers, Call } from './call.js';
import { requireVm } from './lookup.js';
import { listPage } from './paging.js';
import { checkRequestId, earlierOperation } from './request.js';
import { createVmActions } from './vm-actions.js';
import { recordFromRequest } from './vm-create.js';
import { fromSnapshot } from './vm-from-snapshot.js';
import { answer, submit } from './vm-submit.js';
import { pendingChanges, updateVm, type UpdateDeps } from './vm-update.js';
import { hostNameOf, liveToWire, vmToWire } from './wire/vm.js';

export interface VmsDeps extends UpdateDeps {
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
/** How long UndeleteVm waits for its operation. */
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
      if (!request.live && !request.pending) return wire;
      const { hostId, record } = vm.value;
      if (hostId === '' && request.live)
        throw new OstlerError('WRONG_STATE', `${record.name} is on no host yet.`, { field: 'live' });
      const [live, pending] = await Promise.all([
        request.live ? deps.agents.inspect(hostId, record.uuid, call.signal) : undefined,
        request.pending ? pendingChanges(vm.value, call, deps) : [],
      ]);
      return { ...wire, live: live === undefined ? null : liveToWire(live), pending: [...pending] };
    },

    createVm: (request, call) => createVm(request, call, deps),

    updateVm: (request, call) => updateVm(request, call, deps),

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
  const args = await createArgs(request, call, deps);
  const { record } = args;
  const result = await submit('CreateVm', request, record.id, args, call, deps);
  if (!request.validateOnly || record.spec.memory.sizeBytes >= RECOMMENDED_MEMORY_BYTES) return answer(result, deps);
  const hint = 'Note: most guests need at least 512 MiB of memory.'; // V-15
  return answer({ ...result, plan: [...result.plan, hint] }, deps);
}

async function createArgs(
  request: ostler.v1.CreateVmRequest,
  call: Call,
  deps: VmsDeps,
): Promise<Extract<OperationArgs, { kind: 'vm.create' }>> {
  const { start, fromSnapshot: from } = request;
  if (from === null || from === undefined)
    return { kind: 'vm.create', record: await recordFromRequest(request, deps), start };
  const { spec, source } = await fromSnapshot(from, request.spec ?? {}, call, deps);
  const { name, displayName, description, labels, createdBy } = request;
  const record = await recordFromRequest({ name, displayName, description, labels, createdBy, spec }, deps);
  return { kind: 'vm.create', record, start, source };
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

function openConsole(
  request: ostler.v1.OpenConsoleRequest,
  call: Call,
  deps: VmsDeps,
): ostler.v1.ConsoleTicket.$Properties {
  const vm = requireVm(deps.store, request.vm);
  const kind = enumFromWire(CONSOLE_KINDS, request.kind, 'kind');
  if (kind === undefined) throw invalidField('kind', 'is missing', 'Say SERIAL or VNC.');
  const { state, reason } = deps.operations.vmState(vm);
  const up: readonly VmStateName[] = ['RUNNING', 'PAUSED', 'STARTING', 'STOPPING', 'REBOOTING', 'UPDATING'];
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
