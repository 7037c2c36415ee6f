import { OstlerError } from '../../proto/kit/errors.js';
import type { HostDoc, ImageDoc, OperationDoc, VmDoc } from '../core/model.js';
import { findHost, findImage, findVm } from '../store/lookup.js';
import type { Store, Stored } from '../store/store.js';

/** References in requests: NOT_FOUND and INVALID_FIELD name the field that holds the reference. */

export function requireVm(store: Store, ref: string, field = 'vm'): Stored<VmDoc> {
  return findVm(store, required(ref, field)) ?? missing('VM', ref, field, 'ostler list');
}

export function requireHost(store: Store, ref: string, field = 'host'): Stored<HostDoc> {
  return findHost(store, required(ref, field)) ?? missing('host', ref, field, 'ostler host list');
}

export function requireImage(store: Store, ref: string, field = 'image'): Stored<ImageDoc> {
  return findImage(store, required(ref, field)) ?? missing('image', ref, field, 'ostler image list');
}

export function requireOperation(store: Store, ref: string): Stored<OperationDoc> {
  return store.get('operation', required(ref, 'operation')) ?? missing('operation', ref, 'operation', 'ostler op list');
}

export function required(value: string, field: string): string {
  if (value !== '') return value;
  throw new OstlerError('INVALID_FIELD', `${field}: is missing`, { field });
}

function missing(what: string, ref: string, field: string, command: string): never {
  throw new OstlerError('NOT_FOUND', `${field}: there is no ${what} ${JSON.stringify(ref.slice(0, 80))}.`, {
    field,
    remedy: `See what there is: \`${command}\`.`,
  });
}
