import { OstlerError } from '../../proto/kit/errors.js';
import type { HostDoc, ImageDoc, OperationDoc, VmDoc } from '../core/model.js';
import type { Store, Stored } from '../store/store.js';

/** References in requests: a resource's id, its name, or (VMs) its UUID. An id goes before a name that looks like one. */

export function findVm(store: Store, ref: string): Stored<VmDoc> | undefined {
  if (ref === '') return undefined;
  const byId = store.get('vm', ref);
  if (byId !== undefined) return byId;
  const wanted = ref.toLowerCase();
  let gone: Stored<VmDoc> | undefined;
  for (const stored of store.list('vm')) {
    const { name, uuid } = stored.value.record;
    if (name.toLowerCase() !== wanted && uuid !== wanted) continue;
    // An expunged VM has given its name back; it is meant only when nobody else has it.
    if (stored.value.settled !== 'expunged') return stored;
    gone = stored;
  }
  return gone;
}

export function requireVm(store: Store, ref: string): Stored<VmDoc> {
  return findVm(store, required(ref, 'vm')) ?? missing('VM', ref, 'vm', 'ostler list');
}

export function findHost(store: Store, ref: string): Stored<HostDoc> | undefined {
  if (ref === '') return undefined;
  return store.get('host', ref) ?? byName(store.list('host'), ref);
}

export function requireHost(store: Store, ref: string, field = 'host'): Stored<HostDoc> {
  return findHost(store, required(ref, field)) ?? missing('host', ref, field, 'ostler host list');
}

export function findImage(store: Store, ref: string): Stored<ImageDoc> | undefined {
  if (ref === '') return undefined;
  return store.get('image', ref) ?? byName(store.list('image'), ref);
}

export function requireImage(store: Store, ref: string, field = 'image'): Stored<ImageDoc> {
  return findImage(store, required(ref, field)) ?? missing('image', ref, field, 'ostler image list');
}

export function requireOperation(store: Store, ref: string): Stored<OperationDoc> {
  return store.get('operation', required(ref, 'operation')) ?? missing('operation', ref, 'operation', 'ostler op list');
}

function byName<T extends { readonly name: string }>(all: Iterable<Stored<T>>, name: string): Stored<T> | undefined {
  const wanted = name.toLowerCase();
  for (const stored of all) if (stored.value.name.toLowerCase() === wanted) return stored;
  return undefined;
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
