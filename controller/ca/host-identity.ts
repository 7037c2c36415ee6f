import { createHash, timingSafeEqual, X509Certificate } from 'node:crypto';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import { ID_PATTERN } from '../../proto/model/names.js';
import type { HostDoc } from '../core/model.js';
import { changeDocument } from '../store/change.js';
import type { Store, Stored } from '../store/store.js';
import type { Authority } from './authority.js';
import type { Register, RegisterEntry } from './register.js';

/** Who an agent is, by its certificate; and how it gets one. */
export interface HostIdentity {
  /**
   * The host that the certificate speaks for. PERMISSION_DENIED: none shown, not of this CA, past its end, of a host that
   * was deleted, or not the host's newest.
   */
  identify(rawCertificate: Buffer | undefined): Promise<Stored<HostDoc>>;
  /** Spends a join token. PERMISSION_DENIED, TOKEN_SPENT (used or too old), INVALID_FIELD (`csr_pem`). */
  join(
    hostId: string,
    secret: string,
    csrPem: string,
  ): Promise<{ readonly host: HostDoc; readonly certificatePem: string }>;
  /** The next certificate of a host that showed its present one. The old one counts until the new one is used. */
  renew(hostId: string, csrPem: string): Promise<string>;
  /** The host is gone: its certificate ends now. */
  forget(hostId: string): Promise<void>;
  /** Keeps name, tags and cordon where a lost store does not take them along. */
  remember(host: HostDoc): Promise<void>;
}

interface Deps {
  readonly authority: Authority;
  readonly register: Register;
  readonly store: Store;
  readonly clock: Clock;
  readonly log: Log;
}

export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret, 'utf8').digest('hex');
}

/** Both are hexadecimal SHA-256. */
export function sameHash(a: string, b: string): boolean {
  const left = Buffer.from(a, 'hex');
  const right = Buffer.from(b, 'hex');
  return left.length === right.length && timingSafeEqual(left, right);
}

function denied(
  why: string,
  remedy = 'Join the host again with a new token of `ostler host add` or `ostler host token`.',
): OstlerError {
  return new OstlerError('PERMISSION_DENIED', why, { remedy });
}

export function createHostIdentity(deps: Deps): HostIdentity {
  const { authority, register, store, clock, log } = deps;
  return {
    identify: async (raw) => {
      const { hostId, serial } = readCertificate(authority, raw, clock.now());
      const stored = store.get('host', hostId) ?? (await restoreHost(deps, hostId, serial));
      if (stored === undefined) throw denied(`Host ${hostId} is not known here.`);
      if (serial === stored.value.certificateSerial) return stored;
      if (serial === stored.value.nextCertificate?.serial) return promote(deps, hostId, serial);
      throw denied(`The certificate of ${stored.value.name} was replaced by a newer one.`);
    },
    join: (hostId, secret, csrPem) => join(deps, hostId, secret, csrPem),
    renew: async (hostId, csrPem) => {
      const issued = await authority.issueHost(hostId, csrPem);
      const { serial, expireTime } = issued;
      await changeDocument(store, 'host', hostId, (host) => ({ ...host, nextCertificate: { serial, expireTime } }));
      log.info({ host: hostId, serial }, 'certificate renewed');
      return issued.certificatePem;
    },
    forget: (hostId) => register.remove(hostId),
    remember: async (host) => {
      if (host.certificateSerial !== '') await register.put(entryOf(host));
    },
  };
}

/** Everything that the certificate alone can tell. The TLS layer has checked most of it; a second look costs 0.1 ms. */
function readCertificate(
  authority: Authority,
  raw: Buffer | undefined,
  now: number,
): { readonly hostId: string; readonly serial: string } {
  if (raw === undefined) throw denied('An agent must show its certificate.');
  let certificate: X509Certificate;
  try {
    certificate = new X509Certificate(raw);
  } catch {
    throw denied('The certificate shown cannot be read.');
  }
  if (
    certificate.ca ||
    !certificate.checkIssued(authority.certificate) ||
    !certificate.verify(authority.certificate.publicKey)
  )
    throw denied('The certificate shown is not of this controller.');
  if (now < Date.parse(certificate.validFrom) || now > Date.parse(certificate.validTo))
    throw denied(`The certificate shown counted until ${certificate.validTo}.`);
  const hostId = /^CN=(h-[0-9a-z]+)$/.exec(certificate.subject)?.[1] ?? '';
  if (!ID_PATTERN.test(hostId)) throw denied("The certificate shown is not a host's.");
  return { hostId, serial: certificate.serialNumber.toLowerCase() };
}

/** The store was lost, the CA's register was not: the record is made again, for the one certificate that counts. */
async function restoreHost(deps: Deps, hostId: string, serial: string): Promise<Stored<HostDoc> | undefined> {
  const entry = deps.register.get(hostId);
  if (entry?.serial !== serial) return undefined;
  const host: HostDoc = {
    id: entry.id,
    name: entry.name,
    tags: entry.tags,
    schedulable: entry.schedulable,
    createTime: entry.createTime,
    joinSecret: undefined,
    certificateSerial: entry.serial,
    certificateExpireTime: entry.expireTime,
    facts: undefined,
    seenTime: 0,
    eventSequence: 0,
  };
  try {
    await deps.store.commit([{ kind: 'host', id: hostId, expect: 0, put: host }]);
    deps.log.warn({ host: hostId, name: host.name }, 'host record restored from the register of the CA');
  } catch (error) {
    // Two calls of the same agent at once: the other one made it.
    if (deps.store.get('host', hostId) === undefined) throw error;
  }
  return deps.store.get('host', hostId);
}

async function promote(deps: Deps, hostId: string, serial: string): Promise<Stored<HostDoc>> {
  const before = deps.store.get('host', hostId)?.value;
  const next = before?.nextCertificate;
  if (before !== undefined && next?.serial === serial)
    await deps.register.put({ ...entryOf(before), serial, expireTime: next.expireTime });
  return changeDocument(deps.store, 'host', hostId, (host) => {
    if (host.nextCertificate?.serial !== serial) return host;
    const { nextCertificate, ...rest } = host;
    return { ...rest, certificateSerial: serial, certificateExpireTime: nextCertificate.expireTime };
  });
}

async function join(
  deps: Deps,
  hostId: string,
  secret: string,
  csrPem: string,
): Promise<{ readonly host: HostDoc; readonly certificatePem: string }> {
  const { authority, register, store, clock, log } = deps;
  const stored = store.get('host', hostId);
  const spent = (why: string): OstlerError =>
    new OstlerError('TOKEN_SPENT', why, { remedy: 'Ask for a new one: `ostler host token NAME`.' });
  // A host that does not exist and a wrong secret look alike: nothing can be learned by asking.
  if (stored === undefined) throw denied('The join token is not valid here.');
  const { joinSecret } = stored.value;
  if (joinSecret === undefined) throw spent('This join token was used already, or replaced by a newer one.');
  if (!sameHash(hashSecret(secret), joinSecret.hash)) throw denied('The join token is not valid here.');
  if (clock.now() >= joinSecret.expireTime) throw spent('This join token is past its time.');
  const issued = await authority.issueHost(hostId, csrPem);
  const { nextCertificate: _ended, ...rest } = stored.value;
  const host: HostDoc = {
    ...rest,
    joinSecret: undefined,
    certificateSerial: issued.serial,
    certificateExpireTime: issued.expireTime,
    // The machine may be a new one, which counts its events from the start.
    eventSequence: 0,
  };
  // Spent before it is answered, by the same write that names the certificate: of two joins at once only one gets through.
  try {
    await store.commit([{ kind: 'host', id: hostId, expect: stored.revision, put: host }]);
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'STALE_ETAG')
      throw spent('This join token is being used by another join at this moment.');
    throw error;
  }
  await register.put(entryOf(host));
  log.info({ host: hostId, name: host.name, serial: issued.serial }, 'host joined');
  return { host, certificatePem: issued.certificatePem };
}

function entryOf(host: HostDoc): RegisterEntry {
  return {
    id: host.id,
    name: host.name,
    tags: [...host.tags],
    schedulable: host.schedulable,
    serial: host.certificateSerial,
    expireTime: host.certificateExpireTime,
    createTime: host.createTime,
  };
}
