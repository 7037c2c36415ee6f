/** A simulated agent that speaks the real link over gRPC. */
import { credentials, type ClientDuplexStream } from '@grpc/grpc-js';
import type { Writer } from 'protobufjs/minimal.js';
import { createClient, type TypedClient } from '../../proto/client.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { hostFactsToWire } from '../../proto/convert.js';
import { fromServiceError } from '../../proto/status.js';
import { agentLink } from '../../proto/services.js';
import type { OstlerError } from '../../proto/kit/errors.js';
import { someFacts } from '../store/documents.js';

type Up = ostler.v1.AgentMessage.$Properties;
type Down = ostler.v1.ControllerMessage & ostler.v1.ControllerMessage.$Shape;

export interface AgentClient {
  readonly client: TypedClient<typeof agentLink.methods>;
  readonly received: Down[];
  send(message: Up): void;
  /** Bytes that need not be a message. */
  sendRaw(bytes: Buffer): void;
  /** The next message with this body, also one that has come already and was not taken. */
  next<B extends NonNullable<Down['body']>>(body: B): Promise<NonNullable<Down[B]>>;
  /** Resolves with why the link ended. */
  readonly ended: Promise<OstlerError | undefined>;
  close(): void;
}

export function aHello(host: string, change: ostler.v1.Hello.$Properties = {}): Up {
  return {
    hello: {
      host,
      protocolVersion: 1,
      instanceId: 'test',
      bootId: 'boot',
      facts: hostFactsToWire(someFacts()),
      inventory: { hypervisorConnected: true, domains: [] },
      ...change,
    },
  };
}

/** The link with a way to write bytes that are no message. */
const rawLink = {
  ...agentLink,
  methods: {
    ...agentLink.methods,
    connect: {
      ...agentLink.methods.connect,
      request: {
        decode: agentLink.methods.connect.request.decode.bind(agentLink.methods.connect.request),
        encode: (message: Up & { $raw?: Buffer }) =>
          message.$raw === undefined
            ? agentLink.methods.connect.request.encode(message)
            : ({ finish: () => message.$raw } as unknown as Writer),
      },
    },
  },
};

export function connectAgent(address: string, hello: Up | undefined): AgentClient {
  const client = createClient(rawLink, { address, credentials: credentials.createInsecure() });
  const stream = client.connect() as unknown as ClientDuplexStream<Up, Down>;
  const received: Down[] = [];
  const waiting: { readonly body: string; readonly take: (message: Down) => void }[] = [];
  const taken = new Set<Down>();
  stream.on('data', (message: Down) => {
    received.push(message);
    const index = waiting.findIndex((one) => one.body === message.body);
    if (index < 0) return;
    taken.add(message);
    waiting.splice(index, 1)[0]?.take(message);
  });
  const ended = new Promise<OstlerError | undefined>((resolve) => {
    stream.on('error', (error) => resolve(fromServiceError(error)));
    stream.on('end', () => resolve(undefined));
  });
  if (hello !== undefined) stream.write(hello);
  return {
    client,
    received,
    ended,
    send: (message) => void stream.write(message),
    sendRaw: (bytes) => void stream.write({ $raw: bytes } as Up),
    next: async (body) => {
      const old = received.find((message) => message.body === body && !taken.has(message));
      if (old !== undefined) taken.add(old);
      const message = old ?? (await new Promise<Down>((take) => waiting.push({ body, take })));
      return message[body] as never;
    },
    close: () => {
      stream.end();
      client.close();
    },
  };
}
