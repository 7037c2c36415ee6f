import { Server, ServerCredentials } from '@grpc/grpc-js';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { openAuthority, type Authority } from '../../controller/ca/authority.js';
import { createClient } from '../../proto/client.js';
import { systemClock } from '../../proto/kit/clock.js';
import { implement } from '../../proto/server.js';
import { toGrpcDefinition } from '../../proto/service.js';
import { agentLink } from '../../proto/services.js';
import { tlsDial } from '../../proto/tls-dial.js';

const folder = await mkdtemp('/tmp/ostler-tls.');
t.teardown(() => rm(folder, { recursive: true }));
const warnings: string[] = [];
process.on('warning', (warning) => void warnings.push(`${warning.name} ${(warning as { code?: string }).code ?? ''}`));

function authority(name: string, names: readonly string[]): Promise<Authority> {
  return openAuthority({ folder: join(folder, name), names, hostCertificateDays: 1 }, { clock: systemClock });
}

/** A server that shows what its caller showed. */
async function serve(ca: Authority): Promise<number> {
  const server = new Server();
  t.teardown(() => server.forceShutdown());
  const unused = (): Promise<never> => Promise.reject(new Error('not part of this test'));
  server.addService(
    toGrpcDefinition(agentLink),
    implement(agentLink, {
      connect: unused,
      tunnel: unused,
      fetchImage: async function* () {
        await unused();
      },
      renewCertificate: (_request, { peerCertificate }) =>
        Promise.resolve({ certificatePem: peerCertificate === undefined ? 'none' : 'shown' }),
    }),
  );
  const { keyPem, chainPem } = ca.server;
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(chainPem) };
  const tls = ServerCredentials.createSsl(Buffer.from(ca.caPem), [pair], false);
  return new Promise((resolve, reject) =>
    server.bindAsync('127.0.0.1:0', tls, (error, port) => (error === null ? resolve(port) : reject(error))),
  );
}

async function ask(address: string, caPem: string): Promise<string> {
  const client = createClient(agentLink, tlsDial(address, { caPem }));
  try {
    return (await client.renewCertificate({ csrPem: '' })).certificatePem;
  } finally {
    client.close();
  }
}

void t.test('by name and by address: the certificate must be for what was dialled', async (t) => {
  const ours = await authority('ours', ['localhost', '127.0.0.1']);
  const port = await serve(ours);
  t.equal(await ask(`127.0.0.1:${port}`, ours.caPem), 'none');
  t.equal(await ask(`localhost:${port}`, ours.caPem), 'none');
  const theirs = await authority('theirs', ['localhost', '127.0.0.1']);
  for (const host of ['127.0.0.1', 'localhost'])
    await t.rejects(ask(`${host}:${port}`, theirs.caPem), { code: 'HOST_UNREACHABLE' }, 'of another authority');
  await t.rejects(ask(`127.0.0.1:${port}`, ''), { code: 'HOST_UNREACHABLE' }, 'of none that the system knows');
});

void t.test('the word that goes out in place of a name opens nothing', async (t) => {
  const other = await authority('other', ['ostler-controller', '10.9.9.9']);
  const port = await serve(other);
  await t.rejects(ask(`127.0.0.1:${port}`, other.caPem), {
    code: 'HOST_UNREACHABLE',
    message: /127\.0\.0\.1.*not in the cert/,
  });
  await t.rejects(ask(`localhost:${port}`, other.caPem), { code: 'HOST_UNREACHABLE' });
});

void t.test('Node has nothing to warn of', async (t) => {
  await new Promise((resolve) => setImmediate(resolve));
  t.same(warnings, []);
});
