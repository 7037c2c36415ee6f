import { createHash } from 'node:crypto';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { OperationDoc } from '../core/model.js';
import type { Store } from '../store/store.js';

const REQUEST_ID = /^[A-Za-z0-9._:/+=-]{0,128}$/;

export function checkRequestId(requestId: string): string {
  if (REQUEST_ID.test(requestId)) return requestId;
  throw invalidField('request_id', 'is not 1 to 128 letters, digits or ._:/+=-', 'A UUID is a good choice.');
}

/**
 * Tells whether two requests are the same. Fields that only steer the call are left out, and so is a plain password: a fast hash
 * of a weak one would be as good as the password itself.
 */
export function hashRequest(method: string, request: object): string {
  const skipped = new Set(['requestId', 'password', '$unknowns']);
  const canonical = JSON.stringify({ method, request }, (key, value: unknown) => {
    if (skipped.has(key)) return undefined;
    if (typeof value !== 'object' || value === null || Array.isArray(value)) return value;
    return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
  });
  return createHash('sha256').update(canonical).digest('hex');
}

/** The operation that the same person's earlier request with this id made. */
export function earlierOperation(store: Store, actor: string, requestId: string): OperationDoc | undefined {
  if (requestId === '') return undefined;
  for (const { value } of store.list('operation'))
    if (value.requestId === requestId && value.createdBy === actor) return value;
  return undefined;
}

/** For documents that change without an operation. */
export function checkEtag(etag: string, present: string, what: string): void {
  if (etag === '' || etag === present) return;
  throw new OstlerError('STALE_ETAG', `etag: ${what} has changed since it was read.`, {
    field: 'etag',
    remedy: 'Read it again and repeat the request with its new etag.',
    metadata: { present },
  });
}
