import { generateKeyPairSync } from 'node:crypto';
import { connect } from 'node:net';
import { join } from 'node:path';
import { writeFile } from 'node:fs/promises';
import t from 'tap';
import { stringify } from 'yaml';
import { openAuthority } from '../../controller/ca/authority.js';
import { createClient } from '../../proto/client.js';
import { formatJoinToken, parseJoinToken } from '../../proto/join-token.js';
import { systemClock } from '../../proto/kit/clock.js';
import { agentLink, enrollmentService, hostService, vmService } from '../../proto/services.js';
import { tlsDial, type TlsIdentity } from '../../proto/tls-dial.js';
import { makeRequest } from '../ca/request.js';
import { startCluster } from './cluster.js';

const IDENTITY = '/var/lib/libvirt/ostler-agent/identity/identity.json';
const AGENT = new URL('../../agent/main.js', import.meta.url).pathname;

const cluster = await startCluster({ hosts: 2 });
t.teardown(() => cluster.down());
await cluster.join('h1');
await cluster.join('h2');
const link = await cluster.lab.forward('fabric', 7444);
t.teardown(() => link.close());
const caPem = cluster.caPem.toString();

interface HostIdentity {
  readonly host: string;
  readonly keyPem: string;
  readonly certificatePem: string;
}

async function identityOf(host: string): Promise<HostIdentity> {
  return JSON.parse((await cluster.lab.exec(host, ['cat', IDENTITY])).stdout) as HostIdentity;
}

function dialLink(own: TlsIdentity['own'] | undefined) {
  const target = tlsDial(`127.0.0.1:${link.port}`, own === undefined ? { caPem } : { caPem, own });
  const client = createClient(agentLink, { ...target, channel: { ...target.channel, 'grpc.enable_retries': 0 } });
  t.teardown(() => client.close());
  return client;
}

/** Opens a link as `host` and tells how it ended. */
async function tryLink(own: TlsIdentity['own'] | undefined, host: string): Promise<string> {
  const call = dialLink(own).connect();
  const outcome = new Promise<string>((resolve) => {
    call.on('data', (message: { body?: string }) => resolve(`got ${message.body}`));
    call.on('error', (error: Error & { code: number }) => resolve(`refused ${error.code}`));
    call.on('end', () => resolve('ended'));
  });
  call.write({ hello: { host, protocolVersion: 1, instanceId: 'x', bootId: 'x', facts: {}, inventory: {} } });
  const result = await outcome;
  call.cancel();
  return result;
}

const UNAVAILABLE = 'refused 14';
const PERMISSION_DENIED = 'refused 7';

void t.test('an agent without a certificate of this controller gets nothing', async (t) => {
  const h1 = await identityOf('h1');
  t.equal(await tryLink(undefined, h1.host), UNAVAILABLE, 'no certificate: the handshake fails');
  const stranger = await openAuthority(
    { folder: join(cluster.directory, 'stranger'), names: ['localhost'], hostCertificateDays: 1 },
    { clock: systemClock },
  );
  const { csrPem, keyPem } = await makeRequest(h1.host);
  const { certificatePem } = await stranger.issueHost(h1.host, csrPem);
  t.equal(await tryLink({ keyPem, certificatePem }, h1.host), UNAVAILABLE, 'of another CA, for the same host');
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const otherKey = privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  t.throws(
    () => tlsDial('127.0.0.1:1', { caPem, own: { keyPem: otherKey, certificatePem: h1.certificatePem } }),
    'a certificate without its key is no use',
  );
  // The other calls of the link ask for the same.
  const nobody = dialLink(undefined);
  await t.rejects(nobody.renewCertificate({ csrPem }), { code: 'HOST_UNREACHABLE' });
  const image = nobody.fetchImage({ image: 'img-0123456789', offset: 0 })[Symbol.asyncIterator]();
  await t.rejects(image.next(), { code: 'HOST_UNREACHABLE' });
});

void t.test('an agent that speaks for another host gets nothing', async (t) => {
  const [h1, h2] = [await identityOf('h1'), await identityOf('h2')];
  t.equal(await tryLink(h1, 'h2'), PERMISSION_DENIED);
  t.equal(await tryLink(h1, h2.host), PERMISSION_DENIED);
  t.equal(await tryLink(h1, ''), PERMISSION_DENIED);
  // A tunnel id that this host was not asked for opens nothing.
  const tunnel = dialLink(h1).tunnel();
  const refused = new Promise<string>((resolve) => {
    tunnel.on('data', () => resolve('got a frame'));
    tunnel.on('error', (error: Error & { code: number }) => resolve(`refused ${error.code}`));
  });
  tunnel.write({ tunnel: 'a'.repeat(32) });
  t.equal(await refused, 'refused 5');
  // And h2's own agent was not pushed aside by any of it.
  t.equal((await cluster.client(hostService).getHost({ host: 'h2' })).name, 'h2');
  await cluster.online('h2');
});

void t.test("the key is the owner's alone", async (t) => {
  for (const [path, mode] of [
    [IDENTITY, '600'],
    [join(IDENTITY, '..'), '700'],
  ] as const)
    t.equal((await cluster.lab.exec('h1', ['stat', '-c', '%a', path])).stdout.trim(), mode, path);
  t.notMatch(await cluster.agent('h1').logText(), /PRIVATE KEY/);
});

void t.test('a person without a token gets UNAUTHENTICATED', async (t) => {
  await t.rejects(cluster.client(vmService, '').listVms({}), { code: 'UNAUTHENTICATED' });
  await t.rejects(cluster.client(vmService, 'ost_wrong').listVms({}), { code: 'UNAUTHENTICATED' });
  const cli = await cluster.ostler(['list'], { env: { OSTLER_TOKEN: 'ost_wrong' } });
  t.equal(cli.code, 6);
  t.match(cli.stderr, /ostler login/);
});

void t.test('roles: a viewer reads and changes nothing', async (t) => {
  const made = await cluster.ostler(['token', 'create', 'eve', '--role', 'viewer', '-o', 'json']);
  t.equal(made.code, 0, made.stderr);
  const { token } = JSON.parse(made.stdout) as { token: string };
  const eve = cluster.client(vmService, token);
  t.same((await eve.listVms({})).vms, []);
  await t.rejects(eve.createVm({ name: 'x' }), { code: 'PERMISSION_DENIED' });
  t.equal((await cluster.ostler(['token', 'delete', 'eve', '--yes'])).code, 0);
  await t.rejects(eve.listVms({}), { code: 'UNAUTHENTICATED' }, 'a token that was taken back');
});

void t.test('a join token is good once, for one controller, and not for ever', async (t) => {
  const config = join(cluster.directory, 'h9.yaml');
  await writeFile(config, stringify({ dataDir: '/var/lib/libvirt/ostler-h9' }));
  const joinWith = async (token: string): Promise<string> =>
    (await cluster.lab.exec('h1', [process.execPath, AGENT, 'join', token, '--config', config])).stdout;
  const tokenOf = async (...args: string[]): Promise<string> => {
    const { code, stdout, stderr } = await cluster.ostler([...args, '-o', 'name']);
    t.equal(code, 0, stderr);
    return stdout.trim();
  };

  const first = await tokenOf('host', 'add', 'h9');
  const fields = parseJoinToken(first);
  const other = formatJoinToken({ ...fields, caFingerprint: '0'.repeat(64) });
  await t.rejects(joinWith(other), /not the controller that made this token/, 'meets nobody but its controller');
  await t.rejects(joinWith(formatJoinToken({ ...fields, secret: 'guess' })), /used already/, 'a guess');
  const enrol = createClient(enrollmentService, tlsDial(cluster.apiAddress, { caPem }));
  t.teardown(() => enrol.close());
  const { secret } = fields;
  await t.rejects(
    enrol.join({ secret, host: 'h9', csrPem: 'nonsense' }),
    { code: 'INVALID_FIELD' },
    'does not spend it',
  );
  const { csrPem } = await makeRequest('h9');
  await t.rejects(enrol.join({ secret, host: 'h2', csrPem }), { code: 'TOKEN_SPENT' }, 'for another host');

  t.match(await joinWith(first), /^Joined as h-/);
  await t.rejects(joinWith(first), /used already/, 'used');
  const old = JSON.parse(
    (await cluster.lab.exec('h1', ['cat', '/var/lib/libvirt/ostler-h9/identity/identity.json'])).stdout,
  ) as HostIdentity;
  t.equal(await tryLink(old, 'h9'), 'got welcome', 'what it got is good');

  const replaced = await tokenOf('host', 'token', 'h9');
  const short = await tokenOf('host', 'token', 'h9', '--ttl', '1s');
  await t.rejects(joinWith(replaced), /replaced/, 'replaced by a newer one');
  await new Promise((resolve) => setTimeout(resolve, 1100));
  await t.rejects(joinWith(short), /past its time/, 'expired');

  t.match(await joinWith(await tokenOf('host', 'token', 'h9')), /^Joined as h-/);
  t.equal(await tryLink(old, 'h9'), PERMISSION_DENIED, 'the certificate of before the new join ended with it');
  const now = JSON.parse(
    (await cluster.lab.exec('h1', ['cat', '/var/lib/libvirt/ostler-h9/identity/identity.json'])).stdout,
  ) as HostIdentity;
  t.equal((await cluster.ostler(['host', 'delete', 'h9', '--yes'])).code, 0);
  t.equal(await tryLink(now, 'h9'), PERMISSION_DENIED, 'and the last one with its host');
});

void t.test('nothing listens on a host; the agent dials by address without a complaint of Node', async (t) => {
  const { stdout } = await cluster.lab.exec('h1', ['ss', '-Hltn']);
  t.equal(stdout.trim(), '', 'no TCP listener at all');
  await t.rejects(
    new Promise((_, reject) => connect({ port: 1, host: '127.0.0.1' }).once('error', reject)),
    /ECONNREFUSED/,
    'the check itself can see a refusal',
  );
  t.notMatch(await cluster.agent('h1').logText(), /Warning/, 'agent');
  t.notMatch(await cluster.controller.logText(), /Warning/, 'controller');
  const cli = await cluster.ostler(['list']);
  t.equal(cli.code, 0);
  t.notMatch(cli.stderr, /Warning/, 'command line');
});
