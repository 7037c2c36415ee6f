import { readFileSync, statSync, writeFileSync } from 'node:fs';
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import t from 'tap';
import { parse } from 'yaml';
import { checkAddress, resolveConnection } from '../../controller/cli/config.js';
import { implement } from '../../proto/server.js';
import { toGrpcDefinition } from '../../proto/service.js';
import { adminService } from '../../proto/services.js';
import * as x509 from '../../proto/x509.js';
import { startFake, TOKEN } from './fake-server.js';
import { ostler, temporaryDirectory } from './harness.js';
import { MAIN } from './terminal.js';

void t.test('login tries, then keeps; the file is for its owner alone', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const path = join(temporaryDirectory(t), 'deep/er/config.yaml');
  const env = { OSTLER_CONFIG: path };
  const refused = await ostler(undefined, ['login', '--address', fake.address, '--token', 'wrong'], { env });
  t.equal(refused.code, 6);
  t.throws(() => statSync(path), 'nothing is kept for a refused token');
  const { code, stderr } = await ostler(undefined, ['login', '--address', fake.address, '--token-stdin'], {
    env,
    stdin: `${TOKEN}\n`,
  });
  t.equal(code, 0, stderr);
  t.match(stderr, /Logged in to .* as admin \(admin\)/);
  t.notMatch(stderr, TOKEN);
  t.equal(statSync(path).mode & 0o777, 0o600);
  t.same(parse(readFileSync(path, 'utf8')), { address: fake.address, token: TOKEN, ca: '' });
  t.equal((await ostler(undefined, ['status', '-q'], { env })).code, 0, 'and it serves from now on');
  const shown = await ostler(undefined, ['config', 'show'], { env });
  t.match(shown.stdout, /Token: +set/);
  t.notMatch(shown.stdout, TOKEN);
  const other = await ostler(undefined, ['status'], { env: { ...env, OSTLER_TOKEN: 'wrong' } });
  t.equal(other.code, 6, 'the environment comes before the file');
});

void t.test('a config file that does not parse is named, without its contents', async (t) => {
  const path = join(temporaryDirectory(t), 'config.yaml');
  for (const text of [`token: [${TOKEN}`, `tokn: ${TOKEN}`, `token: {a: ${TOKEN}}`]) {
    writeFileSync(path, text);
    const { code, stderr } = await ostler(undefined, ['list'], { env: { OSTLER_CONFIG: path } });
    t.equal(code, 2);
    t.match(stderr, path);
    t.notMatch(stderr, TOKEN);
  }
});

void t.test('addresses', async (t) => {
  t.equal(checkAddress('controller.example:7443', 'x'), 'controller.example:7443');
  t.equal(checkAddress('https://[fd00::1]:7443/', 'x'), '[fd00::1]:7443');
  t.equal(checkAddress('http://127.0.0.1:7443', 'x'), 'http://127.0.0.1:7443');
  t.equal(checkAddress('unix:/run/x', 'x'), 'unix:/run/x');
  for (const bad of ['controller', 'http://controller:7443', 'a b:1', ':7443', 'x:port', 'ftp://x:1'])
    t.throws(() => checkAddress(bad, '--address'), { code: 'INVALID_FIELD', field: '--address' }, bad);
  const none = { env: { OSTLER_CONFIG: '/nonexistent' }, home: '/nonexistent' };
  t.throws(() => resolveConnection(none), { code: 'INVALID_FIELD', remedy: /ostler login/ });
  await Promise.resolve();
});

void t.test("TLS: the controller's own CA is what counts", async (t) => {
  const directory = temporaryDirectory(t);
  const ca = await makeCa('ours');
  const server = await tlsServer(await ca.issue());
  t.teardown(() => server.close());
  const file = (name: string, text: string): string => {
    writeFileSync(join(directory, name), text);
    return join(directory, name);
  };
  const ours = file('ca.pem', ca.pem);
  const strangers = file('other.pem', (await makeCa('theirs')).pem);
  const env = { OSTLER_ADDRESS: server.address, OSTLER_TOKEN: TOKEN, OSTLER_CONFIG: join(directory, 'config.yaml') };
  t.equal((await ostler(undefined, ['status', '-q'], { env: { ...env, OSTLER_CA: ours } })).code, 0);
  for (const wrong of [{ ...env, OSTLER_CA: strangers }, env]) {
    const { code, stderr } = await ostler(undefined, ['status'], { env: wrong });
    t.equal(code, 1);
    t.match(stderr, /Cannot reach the controller[^]*ostler login --ca FILE/);
  }
  t.equal(server.calls(), 1, 'a server that is not trusted never saw the token');
  t.equal((await ostler(undefined, ['login', '--ca', ours], { env })).code, 0);
  t.match(readFileSync(env.OSTLER_CONFIG, 'utf8'), 'BEGIN CERTIFICATE', 'the CA is kept in the file itself');
  t.equal((await ostler(undefined, ['status', '-q'], { env })).code, 0);
  t.equal((await ostler(undefined, ['status'], { env: { ...env, OSTLER_CA: '/nonexistent' } })).code, 2);
  const address = server.address.replace('localhost', '127.0.0.1');
  const { stderr } = await promisify(execFile)(process.execPath, [MAIN, 'status'], {
    env: { ...process.env, ...env, OSTLER_CA: ours, OSTLER_ADDRESS: address },
  });
  t.equal(stderr, '', 'dialled by its IP address, Node keeps its warnings to itself');
});

interface Issued {
  readonly cert: Buffer;
  readonly key: Buffer;
}

async function makeCa(name: string): Promise<{ readonly pem: string; issue(): Promise<Issued> }> {
  const keys = await crypto.subtle.generateKey(x509.KEY_ALGORITHM, true, ['sign', 'verify']);
  const validity = { notBefore: new Date(Date.now() - 60_000), notAfter: new Date(Date.now() + 3_600_000) };
  const root = await x509.X509CertificateGenerator.createSelfSigned({
    ...validity,
    name: `CN=${name}`,
    keys,
    signingAlgorithm: x509.KEY_ALGORITHM,
    extensions: [new x509.BasicConstraintsExtension(true, undefined, true)],
  });
  return {
    pem: root.toString('pem'),
    async issue() {
      const leafKeys = await crypto.subtle.generateKey(x509.KEY_ALGORITHM, true, ['sign', 'verify']);
      const leaf = await x509.X509CertificateGenerator.create({
        ...validity,
        subject: 'CN=localhost',
        issuer: root.subject,
        signingKey: keys.privateKey,
        publicKey: leafKeys.publicKey,
        signingAlgorithm: x509.KEY_ALGORITHM,
        extensions: [
          new x509.SubjectAlternativeNameExtension([
            { type: 'dns', value: 'localhost' },
            { type: 'ip', value: '127.0.0.1' },
          ]),
        ],
      });
      const pkcs8 = await crypto.subtle.exportKey('pkcs8', leafKeys.privateKey);
      return {
        cert: Buffer.from(leaf.toString('pem')),
        key: Buffer.from(x509.PemConverter.encode(pkcs8, 'PRIVATE KEY')),
      };
    },
  };
}

async function tlsServer({ cert, key }: Issued): Promise<{ address: string; calls(): number; close(): void }> {
  const server = new Server();
  let calls = 0;
  const unused = (): Promise<never> => Promise.reject(new Error('not part of this test'));
  server.addService(
    toGrpcDefinition(adminService),
    implement(
      adminService,
      {
        getStatus: () => Promise.resolve({ version: '0.1.0' }),
        whoAmI: () => Promise.resolve({ name: 'admin', role: 3 }),
        ...{ createApiToken: unused, listApiTokens: unused, deleteApiToken: unused, rebuild: unused },
      },
      () => {
        calls += 1;
        return Promise.resolve();
      },
    ),
  );
  const port = await new Promise<number>((resolve, reject) => {
    const credentials = ServerCredentials.createSsl(null, [{ cert_chain: cert, private_key: key }]);
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) => (error === null ? resolve(bound) : reject(error)));
  });
  return { address: `localhost:${port}`, calls: () => calls, close: () => server.forceShutdown() };
}
