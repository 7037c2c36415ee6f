import type { HostDoc, ImageDoc, VmDoc } from '../core/model.js';
import type { Store, Stored } from './store.js';

/** References: a resource's id, its name, or (VMs) its UUID. An id goes before a name that looks like one. */

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

export function findHost(store: Store, ref: string): Stored<HostDoc> | undefined {
  if (ref === '') return undefined;
  return store.get('host', ref) ?? byName(store.list('host'), ref);
}

export function findImage(store: Store, ref: string): Stored<ImageDoc> | undefined {
  if (ref === '') return undefined;
  return store.get('image', ref) ?? byName(store.list('image'), ref);
}

function byName<T extends { readonly name: string }>(all: Iterable<Stored<T>>, name: string): Stored<T> | undefined {
  const wanted = name.toLowerCase();
  for (const stored of all) if (stored.value.name.toLowerCase() === wanted) return stored;
  return undefined;
}
