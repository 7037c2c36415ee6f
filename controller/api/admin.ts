import type { adminService } from '../../proto/services.js';
import { enumFromWire, enumToWire, ROLES } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { invalidField } from '../../proto/kit/errors.js';
import { toWireTime } from '../../proto/time.js';
import type { Tokens } from '../auth/tokens.js';
import type { TokenDoc } from '../core/model.js';
import type { Agents, Operations } from '../engine/env.js';
import type { Store } from '../store/store.js';
import type { ApiHandlers } from './call.js';
import type { Rebuild } from './rebuild.js';
import { hostState } from './wire/host.js';

export interface AdminDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly operations: Operations;
  readonly tokens: Tokens;
  readonly clock: Clock;
  readonly rebuild: Rebuild;
  readonly version: string;
  readonly storeName: string;
  readonly startTime: number;
}

const TTL_MAX_SECONDS = 10 * 366 * 86_400;

export function createAdmin(deps: AdminDeps): ApiHandlers<(typeof adminService)['methods']> {
  const { store, tokens } = deps;
  const toWire = (doc: TokenDoc): ostler.v1.ApiToken.$Properties => ({
    name: doc.name,
    role: enumToWire(ROLES, doc.role),
    createTime: toWireTime(doc.createTime),
    expireTime: doc.expireTime === 0 ? null : toWireTime(doc.expireTime),
    lastUsedTime: tokens.lastUsed(doc.name) === 0 ? null : toWireTime(tokens.lastUsed(doc.name)),
  });
  return {
    getStatus: () => Promise.resolve(statusOf(deps)),

    whoAmI: (_request, call) => {
      const doc = store.get('token', call.caller.name)?.value;
      return Promise.resolve(doc === undefined ? { name: call.caller.name } : toWire(doc));
    },

    createApiToken: async (request) => {
      const role = enumFromWire(ROLES, request.role, 'role');
      if (role === undefined) throw invalidField('role', 'is missing', 'Say VIEWER, OPERATOR or ADMIN.');
      if (request.ttlSeconds > TTL_MAX_SECONDS) throw invalidField('ttl_seconds', 'is more than ten years');
      const { doc, secret } = await tokens.create({ name: request.name, role, ttlSeconds: request.ttlSeconds });
      return { apiToken: toWire(doc), token: secret };
    },

    listApiTokens: () =>
      Promise.resolve({
        apiTokens: [...tokens.list()].sort((a, b) => (a.name < b.name ? -1 : 1)).map(toWire),
      }),

    deleteApiToken: async (request) => {
      await tokens.remove(request.name);
      return {};
    },

    rebuild: (request, call) => deps.rebuild(request.validateOnly, call.signal),
  };
}

export interface Counts {
  readonly hosts: number;
  readonly hostsOnline: number;
  readonly vms: number;
  readonly vmsRunning: number;
  readonly operationsRunning: number;
  /** Sentences. */
  readonly problems: readonly string[];
}

/** The controller and its cluster at a glance: for GetStatus and /metrics. */
export function countAll(deps: Pick<AdminDeps, 'store' | 'agents' | 'operations'>): Counts {
  const { store, agents, operations } = deps;
  const problems: string[] = [];
  let [hosts, hostsOnline, vms, vmsRunning, operationsRunning] = [0, 0, 0, 0, 0];
  for (const { value } of store.list('host')) {
    hosts += 1;
    const { state, reason } = hostState(value, agents.view(value.id));
    if (state === 'ONLINE' || state === 'HYPERVISOR_DOWN') hostsOnline += 1;
    if (state === 'UNREACHABLE') problems.push(`Host ${value.name} ${reason}.`);
    if (state === 'HYPERVISOR_DOWN') problems.push(`libvirt on host ${value.name} does not answer: ${reason}.`);
  }
  for (const stored of store.list('vm')) {
    if (stored.value.settled === 'expunged') continue;
    vms += 1;
    const { state, reason } = operations.vmState(stored);
    if (state === 'RUNNING') vmsRunning += 1;
    if (state === 'ERROR') problems.push(`VM ${stored.value.record.name}: ${reason}.`);
  }
  for (const { value } of store.list('operation')) if (value.endTime === 0) operationsRunning += 1;
  return { hosts, hostsOnline, vms, vmsRunning, operationsRunning, problems };
}

function statusOf(deps: AdminDeps): ostler.v1.Status.$Properties {
  const counts = countAll(deps);
  return {
    ...counts,
    problems: counts.problems.slice(0, 100),
    version: deps.version,
    startTime: toWireTime(deps.startTime),
    store: deps.storeName,
  };
}
