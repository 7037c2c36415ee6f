import type { ostler } from '../../proto/gen/ostler.js';
import type { OperationArgs } from '../core/model.js';
import type { Operations, SubmitResult } from '../engine/env.js';
import type { Store } from '../store/store.js';
import type { Call } from './call.js';
import { checkRequestId, hashRequest } from './request.js';
import { operationToWire } from './wire/operation.js';

export interface SubmitDeps {
  readonly store: Store;
  readonly operations: Operations;
}

export function answer(result: SubmitResult, deps: SubmitDeps): ostler.v1.Operation.$Properties {
  return operationToWire(result.operation, deps.store, { plan: result.plan });
}

export interface Mutation {
  readonly etag?: string;
  readonly requestId: string;
  readonly validateOnly: boolean;
}

export async function submit(
  method: string,
  request: Mutation & object,
  target: string,
  args: OperationArgs,
  call: Call,
  deps: SubmitDeps,
  /** Of what the request was made of, when the caller named none. */
  etag = request.etag ?? '',
): Promise<SubmitResult> {
  const result = await deps.operations.submit({
    target,
    args,
    requestId: checkRequestId(request.requestId),
    requestHash: hashRequest(method, request),
    actor: call.caller.name,
    etag,
    validateOnly: request.validateOnly,
  });
  // A plan is not an operation that anybody could look up.
  return request.validateOnly ? { ...result, operation: { ...result.operation, id: '' } } : result;
}
