import { randomBytes } from 'node:crypto';
import type { hostService } from '../../proto/services.js';
import { z } from 'zod';
import { parseModel } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { formatJoinToken } from '../../proto/join-token.js';
import type { Clock } from '../../proto/kit/clock.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { ID_PATTERN, nameSchema, tagSchema } from '../../proto/model/names.js';
import { toWireTime } from '../../proto/time.js';
import { hashSecret, type HostIdentity } from '../ca/host-identity.js';
import type { HostDoc } from '../core/model.js';
import type { ClusterView } from '../core/view.js';
import type { Agents } from '../engine/env.js';
import type { NewId } from '../engine/ids.js';
import { createLock } from '../engine/lock.js';
import { changeDocument } from '../store/change.js';
import { etagOf, type Store, type Stored } from '../store/store.js';
import type { ApiHandlers } from './call.js';
import { findHost, requireHost } from './lookup.js';
import { listPage } from './paging.js';
import { checkEtag } from './request.js';
import { hostState, hostToWire } from './wire/host.js';

export interface HostsDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly identity: HostIdentity;
  readonly clock: Clock;
  readonly newId: NewId;
  readonly view: () => ClusterView;
  /** What join tokens say of this controller. */
  readonly apiAddress: string;
  readonly caFingerprint: string;
}

const TOKEN_SECONDS = 3600;
const TOKEN_MAX_SECONDS = 30 * 86_400;
const tagsSchema = z
  .array(tagSchema)
  .max(64, 'more than 64 tags')
  .refine((tags) => new Set(tags).size === tags.length, 'has a tag twice');
const FILTER_KEYS = ['id', 'name', 'state', 'tag', 'accelerator', 'schedulable', 'hostname'];

export function createHosts(deps: HostsDeps): ApiHandlers<(typeof hostService)['methods']> {
  const { store, agents, identity, clock } = deps;
  // Names are unique over all documents, which no single compare-and-swap can see: one change at a time.
  const lock = createLock();
  const toWire = (stored: Stored<HostDoc>): ostler.v1.Host.$Properties =>
    hostToWire(stored, { agents, view: deps.view() });
  return {
    listHosts: (request) => {
      const page = listPage(store.list('host'), {
        request,
        known: { keys: FILTER_KEYS },
        read: ({ value }, key) => readField(value, key, agents),
        orders: ['name'],
        sortKey: ({ value }) => value.name,
        id: ({ id }) => id,
      });
      return Promise.resolve({ hosts: page.items.map(toWire), nextPageToken: page.nextPageToken });
    },

    getHost: (request) => Promise.resolve(toWire(requireHost(store, request.host))),

    createHost: (request) =>
      lock(async () => {
        const name = parseModel(nameSchema, request.name, 'name');
        const tags = parseModel(tagsSchema, request.tags, 'tags');
        if (ID_PATTERN.test(name)) throw invalidField('name', 'looks like an id of this system');
        if (findHost(store, name) !== undefined)
          throw new OstlerError('ALREADY_EXISTS', `name: there is a host ${name} already.`, {
            field: 'name',
            remedy: 'Take another name; for a new token of this host use `ostler host token`.',
          });
        const secret = newSecret(request.ttlSeconds, clock.now());
        const id = deps.newId('h');
        const host: HostDoc = {
          id,
          name,
          tags,
          schedulable: true,
          createTime: clock.now(),
          joinSecret: secret.doc,
          certificateSerial: '',
          certificateExpireTime: 0,
          facts: undefined,
          seenTime: 0,
          eventSequence: 0,
        };
        await store.commit([{ kind: 'host', id, expect: 0, put: host }]);
        return tokenToWire(id, secret, deps);
      }),

    createJoinToken: async (request) => {
      const { id } = requireHost(store, request.host);
      const secret = newSecret(request.ttlSeconds, clock.now());
      await changeDocument(store, 'host', id, (host) => ({ ...host, joinSecret: secret.doc }));
      return tokenToWire(id, secret, deps);
    },

    updateHost: async (request) => {
      const stored = requireHost(store, request.host);
      checkEtag(request.etag, etagOf(stored), stored.value.name);
      if (!request.setTags && request.tags.length > 0) throw invalidField('set_tags', 'is false, but tags are given');
      if (!request.setSchedulable && request.schedulable)
        throw invalidField('set_schedulable', 'is false, but schedulable is given');
      if (!request.setTags && !request.setSchedulable) throw invalidField('set_tags', 'nothing is to be changed');
      const tags = parseModel(tagsSchema, request.tags, 'tags');
      const changed = await changeDocument(store, 'host', stored.id, (host) => ({
        ...host,
        ...(request.setTags ? { tags } : {}),
        ...(request.setSchedulable ? { schedulable: request.schedulable } : {}),
      }));
      await identity.remember(changed.value);
      return toWire(changed);
    },

    deleteHost: async (request) => {
      const stored = requireHost(store, request.host);
      checkEtag(request.etag, etagOf(stored), stored.value.name);
      refuseInUse(stored.value, store);
      // The host's own facts change its revision all the time; what counts is that it is still there.
      const present = store.get('host', stored.id) ?? stored;
      await store.commit([{ kind: 'host', id: stored.id, expect: present.revision, remove: true }]);
      await identity.forget(stored.id);
      agents.disconnect(stored.id, `Host ${stored.value.name} was deleted.`);
      return {};
    },
  };
}

interface NewSecret {
  readonly plain: string;
  readonly doc: { readonly hash: string; readonly expireTime: number };
}

function newSecret(ttlSeconds: number, now: number): NewSecret {
  if (ttlSeconds > TOKEN_MAX_SECONDS) throw invalidField('ttl_seconds', 'is more than 30 days');
  const plain = randomBytes(32).toString('base64url');
  const expireTime = now + (ttlSeconds === 0 ? TOKEN_SECONDS : ttlSeconds) * 1000;
  return { plain, doc: { hash: hashSecret(plain), expireTime } };
}

function tokenToWire(hostId: string, secret: NewSecret, deps: HostsDeps): ostler.v1.JoinToken.$Properties {
  const { apiAddress: address, caFingerprint } = deps;
  return {
    host: hostId,
    token: formatJoinToken({ address, caFingerprint, host: hostId, secret: secret.plain }),
    expireTime: toWireTime(secret.doc.expireTime),
  };
}

function refuseInUse(host: HostDoc, store: Store): void {
  const names: string[] = [];
  for (const { value } of store.list('vm'))
    if (value.hostId === host.id && value.settled !== 'expunged') names.push(value.record.name);
  if (names.length === 0) return;
  throw new OstlerError('IN_USE', `${host.name} still has ${names.length} VM(s): ${names.slice(0, 5).join(', ')}.`, {
    remedy: 'Expunge or move them first; deleted VMs keep their disks until they are expunged.',
    metadata: { vms: names.slice(0, 50).join(',') },
  });
}

function readField(host: HostDoc, key: string, agents: Agents): string | readonly string[] | undefined {
  const facts = agents.view(host.id)?.facts ?? host.facts;
  switch (key) {
    case 'id':
    case 'name':
      return host[key];
    case 'state':
      return hostState(host, agents.view(host.id)).state;
    case 'tag':
      return host.tags;
    case 'schedulable':
      return String(host.schedulable);
    case 'accelerator':
      return facts?.accelerator;
    case 'hostname':
      return facts?.hostname;
    default:
      return undefined;
  }
}
