import type { operationService } from '../../proto/services.js';
import { invalidField } from '../../proto/kit/errors.js';
import type { OperationDoc } from '../core/model.js';
import type { Operations } from '../engine/env.js';
import type { Store } from '../store/store.js';
import type { ApiHandlers } from './call.js';
import { requireOperation } from './lookup.js';
import { listPage } from './paging.js';
import { operationToWire } from './wire/operation.js';

const WAIT_DEFAULT_MS = 30_000;
const WAIT_MAX_MS = 300_000;
const FILTER_KEYS = ['id', 'kind', 'state', 'target', 'name', 'created_by', 'request_id'];

export function createOperations(deps: {
  readonly store: Store;
  readonly operations: Operations;
}): ApiHandlers<(typeof operationService)['methods']> {
  const { store, operations } = deps;
  return {
    listOperations: (request) => {
      const page = listPage(store.list('operation'), {
        request,
        known: { keys: FILTER_KEYS },
        read: ({ value }, key) => readField(value, key),
        orders: ['create_time'],
        // Newest first: that is what somebody who lists operations looks for.
        sortKey: ({ value }) => -value.createTime,
        id: ({ id }) => id,
      });
      const shown = page.items.map(({ value }) => operationToWire(operations.present(value), store));
      return Promise.resolve({ operations: shown, nextPageToken: page.nextPageToken });
    },

    getOperation: (request) => {
      const { value } = requireOperation(store, request.operation);
      return Promise.resolve(operationToWire(operations.present(value), store));
    },

    cancelOperation: async (request, call) => {
      const { id } = requireOperation(store, request.operation);
      return operationToWire(await operations.cancel(id, call.caller.name), store);
    },

    waitOperation: async (request, call) => {
      const { id, value } = requireOperation(store, request.operation);
      if (request.timeoutMs > WAIT_MAX_MS) throw invalidField('timeout_ms', `is more than ${WAIT_MAX_MS}`);
      const now = operations.present(value);
      const changed = now.percent !== request.afterPercent || now.detail !== request.afterDetail;
      if (now.endTime !== 0 || (request.untilChange && changed)) return operationToWire(now, store);
      const timeoutMs = request.timeoutMs === 0 ? WAIT_DEFAULT_MS : request.timeoutMs;
      const { untilChange } = request;
      return operationToWire(await operations.wait(id, { timeoutMs, untilChange, signal: call.signal }), store);
    },
  };
}

const STATE_NAMES: Readonly<Record<OperationDoc['state'], string>> = {
  pending: 'PENDING',
  running: 'OPERATION_RUNNING',
  undoing: 'UNDOING',
  succeeded: 'SUCCEEDED',
  failed: 'FAILED',
  cancelled: 'CANCELLED',
};

function readField(op: OperationDoc, key: string): string | readonly string[] | undefined {
  switch (key) {
    case 'id':
    case 'kind':
    case 'target':
      return op[key];
    case 'state':
      return [STATE_NAMES[op.state], op.state];
    case 'name':
      return op.targetName;
    case 'created_by':
      return op.createdBy;
    case 'request_id':
      return op.requestId;
    default:
      return undefined;
  }
}
