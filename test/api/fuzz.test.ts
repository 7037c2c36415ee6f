import { credentials, Metadata, type ServiceError } from '@grpc/grpc-js';
import { Client } from '@grpc/grpc-js';
import fc from 'fast-check';
import t from 'tap';
import { PUBLIC_SERVICES } from '../../controller/auth/rules.js';
import { ostler } from '../../proto/gen/ostler.js';
import { isCode } from '../../proto/kit/errors.js';
import { methodPath, type MessageClass } from '../../proto/service.js';
import { ERROR_TRAILER } from '../../proto/status.js';
import { messagesNamed, protoRoot } from '../rig/random-messages.js';
import { blankVm, runningVm, startRig } from './rig.js';

/** Random messages never crash the controller and always get an answer or a typed error. */
const MESSAGES = 10_000;
const LANES = 32;
// 12,000 calls over TLS: 10 s on an idle machine.
t.setTimeout(240_000);

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
await runningVm(rig, 'victim');
await rig.anImage('fuzz-image');

interface Target {
  readonly path: string;
  readonly encode: (message: object) => Buffer;
  readonly messages: fc.Arbitrary<object>;
}

const targets = Object.values(PUBLIC_SERVICES).flatMap((service) =>
  Object.entries(service.methods as Record<string, { kind: string; request: MessageClass<object, object> }>)
    .filter(([, method]) => method.kind === 'unary')
    .map(([name, method]): Target => {
      const path = methodPath(service, name);
      const declared = protoRoot.lookupService(service.name).methods[path.split('/')[2] ?? ''];
      return {
        path,
        encode: (message) => Buffer.from(method.request.encode(message).finish()),
        messages: messagesNamed(`ostler.v1.${declared?.requestType ?? ''}`),
      };
    }),
);

const client = new Client(rig.apiAddress, credentials.createSsl(Buffer.from(rig.caPem)));
t.teardown(() => client.close());
const metadata = new Metadata();
metadata.set('authorization', `Bearer ${rig.tokens.admin}`);

/** What was said of bugs of ours, and what brought it about. */
const internal: string[] = [];

/** Undefined: answered. Else the reason of the typed error; throws for an error without our detail. */
function call(path: string, bytes: Buffer): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const same = (value: Buffer): Buffer => value;
    client.makeUnaryRequest(
      path,
      same,
      same,
      bytes,
      metadata,
      { deadline: Date.now() + 20_000 },
      (error: ServiceError | null) => {
        if (error === null) {
          resolve(undefined);
          return;
        }
        const trailer = error.metadata.get(ERROR_TRAILER)[0];
        const reason = Buffer.isBuffer(trailer) ? ostler.v1.ErrorDetail.decode(trailer).reason : '';
        if (reason === 'INTERNAL')
          internal.push(`${path}: ${error.details} for ${bytes.toString('base64').slice(0, 400)}`);
        if (isCode(reason)) resolve(reason);
        else reject(new Error(`${path}: untyped ${error.message} for ${bytes.toString('base64').slice(0, 400)}`));
      },
    );
  });
}

async function run(name: string, calls: readonly (() => Promise<string | undefined>)[]): Promise<Map<string, number>> {
  const outcomes = new Map<string, number>();
  const queue = calls[Symbol.iterator]();
  await Promise.all(
    Array.from({ length: LANES }, async () => {
      for (const one of queue) {
        const outcome = (await one()) ?? 'ok';
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    }),
  );
  t.comment(`${name}: ${JSON.stringify(Object.fromEntries([...outcomes].sort()))}`);
  return outcomes;
}

void t.test(`${MESSAGES} random messages to ${targets.length} methods`, async (t) => {
  // Waiting for operations is not what is tried here.
  const tried = targets.filter(({ path }) => !path.endsWith('/WaitOperation'));
  const each = Math.ceil(MESSAGES / tried.length);
  const calls = tried.flatMap(({ path, encode, messages }) =>
    fc.sample(messages, { numRuns: each, seed: 20_261_121 }).map((message) => () => call(path, encode(message))),
  );
  // All methods side by side, not one after the other.
  const mixed = calls.map((one, index) => ({ one, at: (index * 7919) % calls.length })).sort((a, b) => a.at - b.at);
  const outcomes = await run(
    'messages',
    mixed.map(({ one }) => one),
  );
  t.ok(calls.length >= MESSAGES);
  t.ok((outcomes.get('INVALID_FIELD') ?? 0) > 1000);
  t.same(internal, [], 'no bug of ours was hit');
});

void t.test('bytes that are no message', async (t) => {
  const bytes = fc.oneof(
    fc.uint8Array({ minLength: 1, maxLength: 200 }),
    fc.constant(Uint8Array.of(0x0a, 0xff, 0xff, 0xff, 0xff, 0x7f)),
  );
  const calls = fc
    .sample(bytes, { numRuns: 2000, seed: 7 })
    .map((one, index) => () => call(targets[index % targets.length]?.path ?? '', Buffer.from(one)));
  await run('bytes', calls);
  t.same(internal, []);
  const nested = Buffer.concat(Array.from({ length: 5000 }, () => Buffer.of(0x0b)));
  t.equal(await call('/ostler.v1.VmService/CreateVm', nested), 'INVALID_FIELD', 'nested groups without end');
});

void t.test('a long complaint fits into a trailer', async (t) => {
  const bytes = Buffer.from(
    ostler.v1.CreateVmRequest.encode({ ...blankVm('x'), labels: { ['웹'.repeat(20_000)]: 'x' } }).finish(),
  );
  t.equal(await call('/ostler.v1.VmService/CreateVm', bytes), 'INVALID_FIELD');
});

void t.test('the controller is well afterwards', async (t) => {
  const admin = rig.client(PUBLIC_SERVICES.admin);
  t.ok((await admin.getStatus({})).version);
});
