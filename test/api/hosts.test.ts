import t from 'tap';
import { createPrivateKey } from 'node:crypto';
import { ostler } from '../../proto/gen/ostler.js';
import { parseJoinToken } from '../../proto/join-token.js';
import { enrollmentService, hostService } from '../../proto/services.js';
import { makeRequest } from '../ca/request.js';
import { runningVm, startRig } from './rig.js';

const { HostState } = ostler.v1;
const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
const hosts = rig.client(hostService);
const enrollment = rig.client(enrollmentService, '');

void t.test('a host is added, joins once with its token, and is named in the certificate', async (t) => {
  const added = await hosts.createHost({ name: 'h7', tags: ['ssd'] });
  const token = parseJoinToken(added.token);
  t.equal(token.host, added.host);
  t.equal(token.caFingerprint, rig.deps.caFingerprint);
  t.equal((await hosts.getHost({ host: 'h7' })).state, HostState.PENDING_JOIN);
  const { csrPem } = await makeRequest('whatever');
  const wrong = enrollment.join({ host: token.host, secret: 'guess', csrPem });
  await t.rejects(wrong, { code: 'TOKEN_SPENT' });
  const broken = enrollment.join({ host: token.host, secret: token.secret, csrPem: 'nonsense' });
  await t.rejects(broken, { code: 'INVALID_FIELD', field: 'csr_pem' }, 'and the token is not spent by it');
  const joined = await enrollment.join({ host: token.host, secret: token.secret, csrPem });
  t.equal(joined.host, token.host);
  t.equal(joined.caPem, rig.caPem);
  t.equal(joined.linkAddress, '127.0.0.1:7444');
  await t.rejects(enrollment.join({ host: token.host, secret: token.secret, csrPem }), { code: 'TOKEN_SPENT' });
  await t.rejects(enrollment.join({ host: 'h-0000000000', secret: 'x', csrPem }), { code: 'TOKEN_SPENT' });
  const stored = JSON.stringify([...rig.deps.store.list('host')]);
  t.notMatch(stored, token.secret, 'only its hash was stored');
  t.equal((await hosts.getHost({ host: 'h7' })).state, HostState.UNREACHABLE, 'joined, not linked yet');
});

void t.test('two joins at once: one gets through', async (t) => {
  const { token, host } = await hosts.createHost({ name: 'h8' });
  const { secret } = parseJoinToken(token);
  const { csrPem } = await makeRequest('x');
  const outcomes = await Promise.allSettled(Array.from({ length: 8 }, () => enrollment.join({ host, secret, csrPem })));
  t.equal(outcomes.filter(({ status }) => status === 'fulfilled').length, 1);
});

void t.test('a token past its time, or replaced by a newer one', async (t) => {
  const first = await hosts.createHost({ name: 'h9', ttlSeconds: 1 });
  const { csrPem } = await makeRequest('x');
  const newer = await hosts.createJoinToken({ host: 'h9', ttlSeconds: 1 });
  const join = (token: string): Promise<unknown> =>
    enrollment.join({ host: first.host, secret: parseJoinToken(token).secret, csrPem });
  await t.rejects(join(first.token), { code: 'TOKEN_SPENT' });
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await t.rejects(join(newer.token), { code: 'TOKEN_SPENT', message: /past its time/ });
});

void t.test('names, tags, cordon, etag, deletion', async (t) => {
  await t.rejects(hosts.createHost({ name: 'h_1' }), { code: 'INVALID_FIELD', field: 'name' });
  await t.rejects(hosts.createHost({ name: 'H7' }), { code: 'ALREADY_EXISTS', field: 'name' });
  await t.rejects(hosts.createHost({ name: 'h10', tags: ['a b'] }), { code: 'INVALID_FIELD', field: 'tags[0]' });
  const twice = await Promise.allSettled([hosts.createHost({ name: 'h11' }), hosts.createHost({ name: 'h11' })]);
  t.equal(twice.filter(({ status }) => status === 'fulfilled').length, 1);
  const changed = await hosts.updateHost({ host: 'h7', tags: ['nvme'], setTags: true, setSchedulable: true });
  t.same([changed.tags, changed.schedulable], [['nvme'], false]);
  await t.rejects(hosts.updateHost({ host: 'h7', setTags: true, etag: '1' }), { code: 'STALE_ETAG', field: 'etag' });
  await t.rejects(hosts.updateHost({ host: 'h7' }), { code: 'INVALID_FIELD' });
  t.same(
    (await hosts.listHosts({ filter: 'tag=nvme' })).hosts.map(({ name }) => name),
    ['h7'],
  );
  await runningVm(rig, 'tenant');
  await t.rejects(hosts.deleteHost({ host: 'h1' }), { code: 'IN_USE', message: /tenant/ });
  t.match(await hosts.getHost({ host: 'h1' }), { state: HostState.ONLINE, vmCount: 1, allocatedVcpus: 1 });
  await hosts.deleteHost({ host: 'h7' });
  await t.rejects(hosts.getHost({ host: 'h7' }), { code: 'NOT_FOUND' });
});

void t.test('the key that made the request is the one in the certificate', async (t) => {
  const { token, host } = await hosts.createHost({ name: 'h12' });
  const { csrPem, keyPem } = await makeRequest('x');
  const { certificatePem } = await enrollment.join({ host, secret: parseJoinToken(token).secret, csrPem });
  const { X509Certificate } = await import('node:crypto');
  t.ok(new X509Certificate(certificatePem).checkPrivateKey(createPrivateKey(keyPem)));
});
