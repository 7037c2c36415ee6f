import { Client, loadPackageDefinition, type ClientReadableStream, type ServiceError } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import protobuf from 'protobufjs';
import * as descriptor from 'protobufjs/ext/descriptor/index.js';
import t from 'tap';
import { createHealth } from '../../controller/api/health.js';
import { publicProtoFiles, PROTO_ROOT } from '../../controller/api/proto-files.js';
import { PUBLIC_SERVICES } from '../../controller/auth/rules.js';
import { tlsDial } from '../../proto/tls-dial.js';
import { startRig } from './rig.js';

/** Its types speak of a namespace that the module does not export. */
const { FileDescriptorProto } = (descriptor as unknown as { default: { FileDescriptorProto: protobuf.Type } }).default;

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
const { credentials: tls, channel } = tlsDial(rig.apiAddress, { caPem: rig.caPem });

type Unary = (request: object, done: (error: ServiceError | null, answer: { status: string }) => void) => void;
type Dynamic = new (...args: ConstructorParameters<typeof Client>) => Client & Record<string, unknown>;

/** A client that knows nothing but a .proto file. */
function dynamicClient(
  files: string | readonly string[],
  name: string,
  includeDirs: readonly string[],
): Client & Record<string, unknown> {
  const loaded = loadPackageDefinition(
    loadSync(typeof files === 'string' ? files : [...files], {
      includeDirs: [...includeDirs],
      enums: String,
      defaults: true,
    }),
  );
  let found: unknown = loaded;
  for (const part of name.split('.')) found = (found as Record<string, unknown>)[part];
  const client = new (found as Dynamic)(rig.apiAddress, tls, channel);
  t.teardown(() => client.close());
  return client;
}

void t.test('grpc.health.v1: every service, without a token; a watch sees the change', async (t) => {
  const health = dynamicClient(publicProtoFiles(), 'grpc.health.v1.Health', [PROTO_ROOT]);
  const check = (service: string): Promise<string> =>
    new Promise((resolve, reject) => {
      (health['check'] as Unary).call(health, { service }, (error, answer) => {
        if (error === null) resolve(answer.status);
        else reject(error);
      });
    });
  for (const service of ['', ...Object.values(PUBLIC_SERVICES).map(({ name }) => name)])
    t.equal(await check(service), 'SERVING', service);
  await t.rejects(check('ostler.v1.AgentLink'), { code: 5 }, 'agents have a port of their own');
  const statuses: string[] = [];
  let wake: () => void = () => undefined;
  const watch = (health['watch'] as (request: object) => ClientReadableStream<{ status: string }>).call(health, {
    service: 'nobody',
  });
  watch.on('error', () => undefined);
  watch.on('data', ({ status }: { status: string }) => {
    statuses.push(status);
    wake();
  });
  if (statuses.length === 0) await new Promise<void>((resolve) => (wake = resolve));
  watch.cancel();
  t.same(statuses, ['SERVICE_UNKNOWN']);
});

void t.test('health follows the controller', async (t) => {
  const health = createHealth(['a']);
  const written: string[] = [];
  const watchers: (() => void)[] = [];
  const call = {
    request: { service: 'a' },
    write: ({ status }: { status: string }) => written.push(status),
    on: (_name: string, action: () => void) => watchers.push(action),
    end: () => written.push('end'),
  };
  (health.implementation['watch'] as unknown as (call: object) => void)(call);
  health.setServing(true);
  health.setServing(true);
  health.setServing(false);
  watchers.forEach((cancel) => cancel());
  health.setServing(true);
  t.same(written, ['NOT_SERVING', 'SERVING', 'NOT_SERVING', 'end']);
  await Promise.resolve();
});

interface ReflectionAnswer {
  readonly listServicesResponse?: { readonly service: readonly { readonly name: string }[] };
  readonly fileDescriptorResponse?: { readonly fileDescriptorProto: readonly Buffer[] };
  readonly errorResponse?: { readonly errorCode: number };
}

void t.test('reflection: a client without any file finds the services, and the fields of a message', async (t) => {
  const root = dirname(createRequire(import.meta.url).resolve('@grpc/reflection/package.json'));
  const file = join(root, 'build/proto/grpc/reflection/v1/reflection.proto');
  const client = dynamicClient(file, 'grpc.reflection.v1.ServerReflection', [
    join(root, 'build/proto/grpc/reflection/v1'),
  ]);
  const ask = (request: object): Promise<ReflectionAnswer> =>
    new Promise((resolve, reject) => {
      const call = (client['serverReflectionInfo'] as () => ReturnType<Client['makeBidiStreamRequest']>).call(client);
      call.on('data', resolve);
      call.on('error', reject);
      call.write(request);
      call.end();
    });
  const { listServicesResponse } = await ask({ listServices: '*' });
  const names = (listServicesResponse?.service ?? []).map(({ name }) => name);
  for (const { name } of Object.values(PUBLIC_SERVICES)) t.ok(names.includes(name), name);
  t.ok(names.includes('grpc.health.v1.Health'));
  t.notOk(names.includes('ostler.v1.AgentLink'), 'the link is nobody else’s business');
  const { fileDescriptorResponse } = await ask({ fileContainingSymbol: 'ostler.v1.VmService' });
  const described = (fileDescriptorResponse?.fileDescriptorProto ?? []).map((bytes) =>
    FileDescriptorProto.decode(bytes),
  );
  const extended = protobuf.Root as unknown as { fromDescriptor: (set: object) => protobuf.Root };
  const request = extended.fromDescriptor({ file: described }).lookupType('ostler.v1.CreateVmRequest');
  const fields = request.fieldsArray.map(({ name }) => name.replaceAll('_', '').toLowerCase());
  for (const name of ['name', 'spec', 'requestid', 'validateonly']) t.ok(fields.includes(name), name);
  t.match(await ask({ fileContainingSymbol: 'ostler.v1.Nobody' }), { errorResponse: { errorCode: 5 } });
});
