import { randomBytes } from 'node:crypto';
import { Server, ServerCredentials, type ServerDuplexStream } from '@grpc/grpc-js';
import { ostler } from '../../../proto/gen/ostler.js';
import { OstlerError } from '../../../proto/kit/errors.js';
import { implement } from '../../../proto/server.js';
import { toGrpcDefinition } from '../../../proto/service.js';
import { agentLink, enrollmentService } from '../../../proto/services.js';
import type { TestCa } from './test-ca.js';

type Up = ostler.v1.AgentMessage;
type Down = ostler.v1.ControllerMessage.$Properties;
type Frame = ostler.v1.TunnelFrame;

/** Just enough of a controller to lead an agent by the hand: it remembers all it hears. */
export interface FakeController {
  readonly address: string;
  readonly received: readonly Up[];
  readonly images: Map<string, Buffer>;
  /** Bytes after which every image stream breaks; Infinity: never. */
  cutImagesAfter: number;
  /** Whether results and events are acknowledged. */
  acknowledges: boolean;
  /** Life of the certificates it issues. */
  certificateLifeMs: number;
  /** How long `until` and what is built on it wait when not told, in ms. */
  patienceMs: number;
  readonly fetches: readonly { image: string; offset: number }[];
  /** The secret that Join accepts once. */
  secret: string;
  linkAddress: string | undefined;
  /** While false, a hello is not answered: the link is not up before `welcome`. */
  welcomes: boolean;
  welcome(): void;
  send(message: Down): void;
  command(command: ostler.v1.Command.$Properties): Promise<ostler.v1.CommandResult>;
  query(query: ostler.v1.Query.$Properties): Promise<ostler.v1.QueryResult>;
  /** The agent's frames of a tunnel, and a way to write into it. */
  tunnel(id: string): Promise<{ frames: Frame[]; write(data: string): void; end(): void; text(): string }>;
  until<T>(what: string, find: (messages: readonly Up[]) => T | undefined): Promise<T>;
  /** Ends the present link. */
  dropLink(): void;
  readonly links: number;
  stop(): Promise<void>;
}

export async function startFakeController(ca: TestCa, port = 0): Promise<FakeController> {
  const received: Up[] = [];
  const images = new Map<string, Buffer>();
  const fetches: { image: string; offset: number }[] = [];
  const tunnels = new Map<
    string,
    { frames: Frame[]; call: ServerDuplexStream<Frame, ostler.v1.TunnelFrame.$Properties> }
  >();
  let current: ServerDuplexStream<Up, Down> | undefined;
  let links = 0;

  const acknowledge = (call: ServerDuplexStream<Up, Down>, message: Up): void => {
    if (message.heartbeat) call.write({ heartbeatAck: { sequence: message.heartbeat.sequence ?? 0 } });
    if (!controller.acknowledges) return;
    if (message.commandResult) call.write({ resultAck: { command: message.commandResult.command ?? '' } });
    if (message.event) call.write({ eventAck: { sequence: message.event.sequence ?? 0 } });
  };

  const server = new Server();
  server.addService(
    ...serviceOf(agentLink, {
      connect: (call) =>
        new Promise<void>((resolve) => {
          current = call;
          links++;
          call.on('data', (message: Up) => {
            received.push(message);
            if (message.hello && controller.welcomes) controller.welcome();
            acknowledge(call, message);
          });
          call.on('end', () => resolve());
          call.on('error', () => resolve());
          call.on('cancelled', () => resolve());
        }),
      tunnel: (call) =>
        new Promise<void>((resolve) => {
          const frames: Frame[] = [];
          call.on('data', (frame: Frame) => {
            if (frame.tunnel !== '') tunnels.set(frame.tunnel, { frames, call });
            frames.push(frame);
          });
          call.on('end', () => resolve());
          call.on('cancelled', () => resolve());
        }),
      async *fetchImage({ image, offset }) {
        fetches.push({ image, offset });
        const content = images.get(image);
        if (content === undefined) throw new OstlerError('NOT_FOUND', `no image ${image}`);
        let sent = 0;
        for (let at = offset; at < content.length; at += 65536) {
          if (sent >= controller.cutImagesAfter) throw new OstlerError('HOST_UNREACHABLE', 'cut on purpose');
          const chunk = content.subarray(at, at + 65536);
          sent += chunk.length;
          yield { chunk };
          await new Promise((resolve) => setImmediate(resolve));
        }
      },
      renewCertificate: async ({ csrPem }) => ({
        certificatePem: await ca.sign(csrPem, 'h1', controller.certificateLifeMs),
        caPem: ca.pem,
      }),
    }),
  );
  server.addService(
    ...serviceOf(enrollmentService, {
      async join({ secret, host, csrPem }) {
        if (secret === '' || secret !== controller.secret)
          throw new OstlerError('TOKEN_SPENT', 'The token was used before.');
        controller.secret = '';
        return {
          host,
          certificatePem: await ca.sign(csrPem, host, controller.certificateLifeMs),
          caPem: ca.pem,
          linkAddress: controller.linkAddress ?? controller.address,
        };
      },
    }),
  );
  const { keyPem, chainPem } = await ca.server();
  const tls = ServerCredentials.createSsl(
    Buffer.from(ca.pem),
    [{ private_key: Buffer.from(keyPem), cert_chain: Buffer.from(chainPem) }],
    false,
  );
  const bound = await new Promise<number>((resolve, reject) =>
    server.bindAsync(`127.0.0.1:${port}`, tls, (error, number) => (error === null ? resolve(number) : reject(error))),
  );

  const controller: FakeController = {
    address: `127.0.0.1:${bound}`,
    received,
    images,
    fetches,
    cutImagesAfter: Infinity,
    acknowledges: true,
    certificateLifeMs: 3_600_000,
    patienceMs: 20_000,
    secret: randomBytes(12).toString('hex'),
    linkAddress: undefined,
    welcomes: true,
    welcome: () => controller.send({ welcome: { controllerId: 'c1', heartbeatIntervalMs: 100 } }),
    get links() {
      return links;
    },
    send: (message) => void current?.write(message),
    async command(command) {
      controller.send({ command });
      return controller.until(`the result of ${command.id}`, (all) =>
        all.map((one) => one.commandResult).findLast((one) => one?.command === command.id),
      ) as Promise<ostler.v1.CommandResult>;
    },
    async query(query) {
      controller.send({ query });
      return controller.until(`the answer to ${query.id}`, (all) =>
        all.map((one) => one.queryResult).find((one) => one?.query === query.id),
      ) as Promise<ostler.v1.QueryResult>;
    },
    async tunnel(id) {
      const { frames, call } = await controller.until(`tunnel ${id}`, () => tunnels.get(id));
      return {
        frames,
        write: (data) => void call.write({ data: Buffer.from(data) }),
        end: () => call.end(),
        text: () => Buffer.concat(frames.map((frame) => frame.data)).toString(),
      };
    },
    async until(what, find) {
      const { patienceMs } = controller;
      const end = Date.now() + patienceMs;
      for (;;) {
        const found = find(received);
        if (found !== undefined) return found;
        if (Date.now() > end) throw new Error(`${what}: not within ${patienceMs} ms`);
        await new Promise((resolve) => setTimeout(resolve, 5));
      }
    },
    dropLink: () => current?.end(),
    stop: () =>
      new Promise((resolve) => {
        server.forceShutdown();
        resolve();
      }),
  };
  return controller;
}

/** Both arguments of addService from one service table. */
function serviceOf<M extends Parameters<typeof implement>[0]['methods']>(
  service: { readonly name: string; readonly methods: M },
  handlers: Parameters<typeof implement<M>>[1],
): Parameters<Server['addService']> {
  return [toGrpcDefinition(service), implement(service, handlers)];
}
