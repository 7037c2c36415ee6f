import { credentials } from '@grpc/grpc-js';
import { generateKeyPairSync } from 'node:crypto';
import { connect } from 'node:net';
import t from 'tap';
import { createClient } from '../../proto/client.js';
import { agentLink, enrollmentService, vmService } from '../../proto/services.js';
import { parseJoinToken } from '../../proto/join-token.js';
import { startCluster } from './cluster.js';

const cluster = await startCluster();
t.teardown(() => cluster.down());
await cluster.join('h1');
const link = await cluster.lab.forward('fabric', 7444);
t.teardown(() => link.close());

/** Opens a link and tells how it ended. */
async function tryLink(tls: ReturnType<typeof credentials.createSsl>, host: string): Promise<string> {
  const client = createClient(agentLink, { address: `127.0.0.1:${link.port}`, credentials: tls });
  t.teardown(() => client.close());
  const call = client.connect();
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

void t.test('an agent without a certificate of this controller gets nothing', async (t) => {
  t.match(await tryLink(credentials.createSsl(cluster.caPem), 'h1'), /^refused/);
  const read = async (file: string): Promise<Buffer> =>
    Buffer.from((await cluster.lab.exec('h1', ['cat', `/var/lib/libvirt/ostler-agent/identity/${file}`])).stdout);
  const files = (await cluster.lab.exec('h1', ['ls', '/var/lib/libvirt/ostler-agent/identity'])).stdout;
  const named = (pattern: RegExp): string => files.split('\n').find((file) => pattern.test(file)) ?? '';
  const certificate = await read(named(/cert/));
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const otherKey = Buffer.from(privateKey.export({ type: 'pkcs8', format: 'pem' }));
  t.throws(
    () => credentials.createSsl(cluster.caPem, otherKey, certificate),
    'a certificate without its key is no use',
  );
  const own = credentials.createSsl(cluster.caPem, await read(named(/key/)), certificate);
  t.match(await tryLink(own, 'h2'), /^refused 7/, 'h1 cannot speak for h2');
  const mode = await cluster.lab.exec('h1', [
    'stat',
    '-c',
    '%a',
    `/var/lib/libvirt/ostler-agent/identity/${named(/key/)}`,
  ]);
  t.equal(mode.stdout.trim(), '600');
});

void t.test('a person without a token gets UNAUTHENTICATED', async (t) => {
  await t.rejects(cluster.client(vmService, '').listVms({}), { code: 'UNAUTHENTICATED' });
  await t.rejects(cluster.client(vmService, 'ost_wrong').listVms({}), { code: 'UNAUTHENTICATED' });
  const cli = await cluster.ostler(['list'], { env: { OSTLER_TOKEN: 'ost_wrong' } });
  t.equal(cli.code, 6);
});

void t.test('roles: a viewer reads and changes nothing', async (t) => {
  const made = await cluster.ostler(['token', 'create', 'eve', '--role', 'viewer', '-o', 'json']);
  t.equal(made.code, 0, made.stderr);
  const { token } = JSON.parse(made.stdout) as { token: string };
  const eve = cluster.client(vmService, token);
  t.same((await eve.listVms({})).vms, []);
  await t.rejects(eve.createVm({ name: 'x' }), { code: 'PERMISSION_DENIED' });
});

void t.test('a used or expired join token is refused', async (t) => {
  const enrol = createClient(enrollmentService, {
    address: cluster.apiAddress,
    credentials: credentials.createSsl(cluster.caPem),
  });
  t.teardown(() => enrol.close());
  const added = await cluster.ostler(['host', 'add', 'h9', '-o', 'name']);
  const { secret } = parseJoinToken(added.stdout.trim());
  const main = new URL('../../agent/main.js', import.meta.url).pathname;
  const config = `${cluster.directory}/h1.yaml`;
  const join = (token: string, env: Record<string, string> = {}): Promise<unknown> =>
    cluster.lab.exec('h1', ['env', 'HOME=/tmp', process.execPath, main, 'join', token, '--config', config], { env });
  await t.rejects(enrol.join({ secret: 'wrong', host: 'h9', csrPem: '' }), {
    code: /TOKEN_SPENT|INVALID_FIELD|PERMISSION_DENIED/,
  });
  await t.rejects(enrol.join({ secret, host: 'h9', csrPem: 'nonsense' }), { code: 'INVALID_FIELD' });
  const short = await cluster.ostler(['host', 'token', 'h9', '--ttl', '1s', '-o', 'name']);
  t.equal(short.code, 0, short.stderr);
  await new Promise((resolve) => setTimeout(resolve, 1500));
  await t.rejects(join(short.stdout.trim()), /expired|past its time|TOKEN_SPENT/i, 'expired');
  await t.rejects(join(added.stdout.trim()), /used|replaced|TOKEN_SPENT/i, 'replaced by a newer one');
});

void t.test('nothing listens on a host', async (t) => {
  const { stdout } = await cluster.lab.exec('h1', ['ss', '-Hltn']);
  t.equal(stdout.trim(), '', 'no TCP listener at all');
  await t.rejects(
    new Promise((_, reject) => connect({ port: 1, host: '127.0.0.1' }).once('error', reject)),
    /ECONNREFUSED/,
    'the check itself can see a refusal',
  );
});
