import { randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import type { Clock } from '../../proto/kit/clock.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { Role, TokenDoc } from '../core/model.js';
import { hashSecret, sameHash } from '../ca/host-identity.js';
import { writeDurably } from '../files.js';
import type { Store, Stored } from '../store/store.js';

/** `ost_` and 256 random bits: it can be found by secret scanners, and not by guessing. */
const PREFIX = 'ost_';
const FORM = /^ost_[A-Za-z0-9_-]{43}$/;
/** Names of tokens are document ids and stand in events as the actor. */
const NAME = /^[a-z0-9](?:[a-z0-9._-]{0,61}[a-z0-9])?$/;
/** Actors that are no person. */
const RESERVED = new Set(['controller', 'anonymous']);

export interface Tokens {
  /** The token's record; undefined for anything that is not a living token. */
  verify(secret: string): TokenDoc | undefined;
  /** Milliseconds since 1970; 0: not since this start. */
  lastUsed(name: string): number;
  /** The plain secret is in the answer and nowhere else. INVALID_FIELD, ALREADY_EXISTS. */
  create(request: {
    readonly name: string;
    readonly role: Role;
    readonly ttlSeconds: number;
  }): Promise<{ readonly doc: TokenDoc; readonly secret: string }>;
  list(): readonly TokenDoc[];
  /** NOT_FOUND; WRONG_STATE for the last administrator's. */
  remove(name: string): Promise<void>;
}

export function newTokenSecret(): string {
  return PREFIX + randomBytes(32).toString('base64url');
}

export function createTokens(deps: { readonly store: Store; readonly clock: Clock }): Tokens {
  const { store, clock } = deps;
  const used = new Map<string, number>();
  const alive = (doc: TokenDoc): boolean => doc.expireTime === 0 || clock.now() < doc.expireTime;
  return {
    verify: (secret) => {
      if (!FORM.test(secret)) return undefined;
      const hash = hashSecret(secret);
      let found: TokenDoc | undefined;
      // All are compared, each in constant time: nothing is learned from how long it took.
      for (const { value } of store.list('token')) if (sameHash(value.hash, hash)) found = value;
      if (found === undefined || !alive(found)) return undefined;
      used.set(found.name, clock.now());
      return found;
    },
    lastUsed: (name) => used.get(name) ?? 0,
    create: async ({ name, role, ttlSeconds }) => {
      if (!NAME.test(name) || RESERVED.has(name))
        throw invalidField(
          'name',
          'use 1 to 63 lower-case letters, digits, dots, hyphens, underscores; not `controller`',
        );
      const secret = newTokenSecret();
      const now = clock.now();
      const doc: TokenDoc = {
        name,
        role,
        hash: hashSecret(secret),
        createTime: now,
        expireTime: ttlSeconds === 0 ? 0 : now + ttlSeconds * 1000,
      };
      const present = store.get('token', name);
      // A token past its end gives its name back.
      if (present !== undefined && alive(present.value))
        throw new OstlerError('ALREADY_EXISTS', `There is a token ${name} already.`, {
          field: 'name',
          remedy: 'Take another name, or delete that token first.',
        });
      await store.commit([{ kind: 'token', id: name, expect: present?.revision ?? 0, put: doc }]);
      return { doc, secret };
    },
    list: () => [...store.list('token')].map((stored) => stored.value),
    remove: async (name) => {
      const stored = NAME.test(name) ? store.get('token', name) : undefined;
      if (stored === undefined)
        throw new OstlerError('NOT_FOUND', 'There is no token of that name.', { field: 'name' });
      const admins = [...store.list('token')].filter(isLivingAdmin);
      if (admins.length === 1 && admins[0]?.id === name)
        throw new OstlerError('WRONG_STATE', `${name} is the last administrator's token.`, {
          remedy: 'Make another one with the role admin first.',
        });
      await store.commit([{ kind: 'token', id: name, expect: stored.revision, remove: true }]);
      used.delete(name);
    },
  };
  function isLivingAdmin(stored: Stored<TokenDoc>): boolean {
    return stored.value.role === 'admin' && alive(stored.value);
  }
}

/**
 * The first administrator: as long as the store has no token at all, the secret in `path` counts; without that file one is
 * made and written there, once, readable by its owner only. A store that was lost takes the same token again.
 */
export async function ensureAdminToken(
  path: string,
  deps: { readonly store: Store; readonly clock: Clock },
): Promise<'present' | 'restored' | 'created'> {
  const { store, clock } = deps;
  if ([...store.list('token')].length > 0) return 'present';
  let secret: string | undefined;
  try {
    secret = (await readFile(path, 'utf8')).trim();
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
  }
  if (secret !== undefined && !FORM.test(secret))
    throw new OstlerError('INVALID_FIELD', `${path} does not hold a token of this product.`, {
      remedy: 'Remove the file: a new token is made at the next start.',
    });
  const known = secret ?? newTokenSecret();
  // The file first: a store that knows a token that nobody has would lock everybody out.
  if (secret === undefined) await writeDurably(path, known + '\n', 0o600);
  const doc: TokenDoc = {
    name: 'admin',
    role: 'admin',
    hash: hashSecret(known),
    createTime: clock.now(),
    expireTime: 0,
  };
  await store.commit([{ kind: 'token', id: doc.name, expect: 0, put: doc }]);
  return secret === undefined ? 'created' : 'restored';
}
