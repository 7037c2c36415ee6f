import { createHash, X509Certificate } from 'node:crypto';
import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAuthority, type Authority } from '../../controller/ca/authority.js';
import { createHostIdentity, hashSecret, type HostIdentity } from '../../controller/ca/host-identity.js';
import { openRegister, type Register } from '../../controller/ca/register.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import type { Store } from '../../controller/store/store.js';
import { systemClock, type Clock } from '../../proto/kit/clock.js';
import { silentLog } from '../../proto/kit/log.js';
import { aHost, id } from '../store/documents.js';
import { makeRequest } from './request.js';

const DAY = 86_400_000;

interface World {
  readonly folder: string;
  readonly clock: Clock & { offset: number };
  readonly authority: Authority;
  readonly register: Register;
  store: Store;
  identity: HostIdentity;
  /** The store is deleted; the CA's folder stays. */
  loseStore(): void;
  joined(n: number, secret?: string): Promise<Buffer>;
}

async function aWorld(t: { teardown(fn: () => unknown): void }): Promise<World> {
  const folder = await mkdtemp('/tmp/ostler-ca.');
  t.teardown(() => rm(folder, { recursive: true }));
  const clock = { ...systemClock, offset: 0, now: () => Date.now() + clock.offset };
  const options = { folder, names: ['localhost', '10.0.0.1', 'fd00::1', '::1'], hostCertificateDays: 30 };
  const authority = await openAuthority(options, { clock });
  const register = await openRegister(join(folder, 'hosts'));
  const identityOn = (store: Store): HostIdentity =>
    createHostIdentity({ authority, register, store, clock, log: silentLog });
  const store = createMemoryStore();
  const world: World = {
    folder,
    clock,
    authority,
    register,
    store,
    identity: identityOn(store),
    loseStore: () => {
      world.store = createMemoryStore();
      world.identity = identityOn(world.store);
    },
    joined: async (n, secret = 'secret') => {
      const hostId = id('h', n);
      const joinSecret = { hash: hashSecret(secret), expireTime: clock.now() + 1000 };
      const present = world.store.get('host', hostId);
      const put = { ...(present?.value ?? aHost(n)), joinSecret };
      await world.store.commit([{ kind: 'host', id: hostId, expect: present?.revision ?? 0, put }]);
      const { certificatePem } = await world.identity.join(hostId, secret, (await makeRequest('x')).csrPem);
      return new X509Certificate(certificatePem).raw;
    },
  };
  return world;
}

void t.test("the CA is made once; keys are the owner's alone; the chain carries the pinned CA", async (t) => {
  const { folder, authority, clock } = await aWorld(t);
  const again = await openAuthority({ folder, names: ['localhost'], hostCertificateDays: 30 }, { clock });
  t.equal(again.caPem, authority.caPem);
  t.equal(again.server.chainPem, authority.server.chainPem, 'and the server certificate stays while its names fit');
  for (const key of ['ca.key', 'server.key']) t.equal((await stat(join(folder, key))).mode & 0o777, 0o600);
  const pems = authority.server.chainPem.match(/-----BEGIN[^]*?-----END CERTIFICATE-----/g) ?? [];
  const last = new X509Certificate(pems.at(-1) ?? '');
  t.equal(createHash('sha256').update(last.raw).digest('hex'), authority.fingerprint);
  const server = new X509Certificate(pems[0] ?? '');
  t.ok(server.checkHost('localhost') && server.checkIP('10.0.0.1') && server.checkIP('fd00::1'));
  t.ok(server.verify(last.publicKey) && !server.ca && last.ca);
  const other = { folder, names: ['new.example'], hostCertificateDays: 30 };
  const renamed = await openAuthority(other, { clock });
  t.not(renamed.server.chainPem, authority.server.chainPem, 'another name: another server certificate');
  t.equal((await openAuthority(other, { clock })).server.chainPem, renamed.server.chainPem);
  clock.offset = 500 * DAY;
  t.not((await openAuthority(other, { clock })).server.chainPem, renamed.server.chainPem, 'renewed before its end');
});

void t.test("a key that is not the certificate's is refused at start", async (t) => {
  const { folder, clock } = await aWorld(t);
  const options = { folder, names: ['localhost'], hostCertificateDays: 30 };
  await writeFile(join(folder, 'ca.key'), await readFile(join(folder, 'server.key')));
  await t.rejects(openAuthority(options, { clock }), { code: 'STORE_ERROR', message: /not the key/ });
  await rm(join(folder, 'ca.key'));
  await t.rejects(openAuthority(options, { clock }), { code: 'STORE_ERROR', message: /not its key/ });
});

void t.test('requests: only a proven P-256 key gets a certificate; nothing else of the request counts', async (t) => {
  const { authority } = await aWorld(t);
  const hostId = id('h', 1);
  const { csrPem } = await makeRequest('CN=somebody-else');
  const issued = await authority.issueHost(hostId, csrPem);
  const certificate = new X509Certificate(issued.certificatePem);
  t.equal(certificate.subject, `CN=${hostId}`);
  t.same(certificate.keyUsage, ['1.3.6.1.5.5.7.3.2'], 'client only: a host cannot play the controller');
  t.equal(certificate.serialNumber.toLowerCase(), issued.serial);
  t.equal(Date.parse(certificate.validTo), issued.expireTime);
  const bad = (pem: string): Promise<unknown> => authority.issueHost(hostId, pem);
  const wanted = { code: 'INVALID_FIELD', field: 'csr_pem' };
  await t.rejects(bad(''), wanted);
  await t.rejects(bad('x'.repeat(10_000)), wanted);
  await t.rejects(bad((await makeRequest('x', { name: 'ECDSA', namedCurve: 'P-384' })).csrPem), wanted);
  const bytes = Buffer.from(csrPem.replace(/-----.*-----|\s/g, ''), 'base64');
  bytes[bytes.length - 4] = (bytes[bytes.length - 4] ?? 0) ^ 0xff;
  const forged = `-----BEGIN CERTIFICATE REQUEST-----\n${bytes.toString('base64')}\n-----END CERTIFICATE REQUEST-----`;
  await t.rejects(bad(forged), wanted, 'not signed with its own key');
});

void t.test('identify: the newest certificate of a known host, and nothing else', async (t) => {
  const world = await aWorld(t);
  const first = await world.joined(1);
  t.equal((await world.identity.identify(first)).id, id('h', 1));
  const denied = { code: 'PERMISSION_DENIED' };
  await t.rejects(world.identity.identify(undefined), denied);
  await t.rejects(world.identity.identify(Buffer.from('nonsense')), denied);
  const stranger = await aWorld(t);
  await t.rejects(world.identity.identify(await stranger.joined(1)), denied, 'of another controller');
  await t.rejects(world.identity.identify(new X509Certificate(world.authority.caPem).raw), denied);
  await t.rejects(world.identity.identify(new X509Certificate(world.authority.server.chainPem).raw), denied);
  const second = await world.joined(1);
  await t.rejects(world.identity.identify(first), denied, 'it joined anew');
  t.equal((await world.identity.identify(second)).id, id('h', 1));
  world.clock.offset = 31 * DAY;
  await t.rejects(world.identity.identify(second), denied, 'past its end');
  world.clock.offset = 0;
  const { revision } = world.store.get('host', id('h', 1)) ?? { revision: 0 };
  await world.store.commit([{ kind: 'host', id: id('h', 1), expect: revision, remove: true }]);
  await world.identity.forget(id('h', 1));
  await t.rejects(world.identity.identify(second), denied, 'the host was deleted');
});

void t.test(
  'renewal: the old certificate counts until the new one is used, so a lost answer locks nobody out',
  async (t) => {
    const world = await aWorld(t);
    const hostId = id('h', 1);
    const old = await world.joined(1);
    const renew = async (): Promise<Buffer> =>
      new X509Certificate(await world.identity.renew(hostId, (await makeRequest('x')).csrPem)).raw;
    const lost = await renew();
    t.equal((await world.identity.identify(old)).id, hostId, 'the answer was lost: the agent comes with the old one');
    const next = await renew();
    await t.rejects(world.identity.identify(lost), { code: 'PERMISSION_DENIED' });
    const both = await Promise.all([world.identity.identify(next), world.identity.identify(next)]);
    t.same(
      both.map((one) => one.id),
      [hostId, hostId],
    );
    await t.rejects(world.identity.identify(old), { code: 'PERMISSION_DENIED' });
    t.equal(world.store.get('host', hostId)?.value.nextCertificate, undefined);
  },
);

void t.test('a lost store: hosts of the register come back, with what counts of them, and nobody else', async (t) => {
  const world = await aWorld(t);
  const replaced = await world.joined(1);
  const good = await world.joined(1);
  const deleted = await world.joined(2);
  await world.identity.forget(id('h', 2));
  const host = world.store.get('host', id('h', 1))?.value;
  await world.identity.remember({ ...(host ?? aHost(1)), tags: ['ssd'], schedulable: false });
  world.loseStore();
  await t.rejects(world.identity.identify(replaced), { code: 'PERMISSION_DENIED' }, 'revoked before the loss');
  await t.rejects(world.identity.identify(deleted), { code: 'PERMISSION_DENIED' }, 'deleted before the loss');
  const both = await Promise.all([world.identity.identify(good), world.identity.identify(good)]);
  t.match(both[0].value, { id: id('h', 1), name: 'h1', tags: ['ssd'], schedulable: false });
  t.equal([...world.store.list('host')].length, 1);
  const reopened = await openRegister(join(world.folder, 'hosts'));
  t.same(reopened.list(), world.register.list(), 'the register is on disk');
});
