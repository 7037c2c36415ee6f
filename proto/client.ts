import {
  Client,
  makeGenericClientConstructor,
  Metadata,
  type CallOptions,
  type ChannelCredentials,
  type ChannelOptions,
  type ClientDuplexStream,
  type ClientReadableStream,
  type ClientWritableStream,
} from '@grpc/grpc-js';
import {
  toGrpcDefinition,
  type AnyMethod,
  type Methods,
  type RequestInputOf,
  type ResponseOf,
  type Service,
} from './service.js';
import { fromServiceError } from './status.js';

export interface CallExtras {
  /** Milliseconds from now; every unary call has one (default 30 s). */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
}

type Caller<M extends AnyMethod> = M['kind'] extends 'unary'
  ? (request: RequestInputOf<M>, extras?: CallExtras) => Promise<ResponseOf<M>>
  : M['kind'] extends 'client-stream'
    ? (requests: AsyncIterable<RequestInputOf<M>>, extras?: CallExtras) => Promise<ResponseOf<M>>
    : M['kind'] extends 'server-stream'
      ? (request: RequestInputOf<M>, extras?: CallExtras) => AsyncIterable<ResponseOf<M>>
      : () => ClientDuplexStream<RequestInputOf<M>, ResponseOf<M>>;

export type TypedClient<M extends Methods> = { readonly [K in keyof M]: Caller<M[K]> } & { close(): void };

const DEFAULT_TIMEOUT_MS = 30_000;

export interface ClientOptions {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  /** Sent with every call (the API token). */
  readonly metadata?: Metadata;
  readonly channel?: ChannelOptions;
}

/** A promise-based client of one service. Errors are OstlerErrors with the server's reason, remedy and field. */
export function createClient<M extends Methods>(service: Service<M>, options: ClientOptions): TypedClient<M> {
  const Generic = makeGenericClientConstructor(toGrpcDefinition(service), service.name);
  const raw = new Generic(options.address, options.credentials, options.channel) as unknown as Client & RawMethods;
  const metadata = options.metadata ?? new Metadata();
  const client: Record<string, unknown> = { close: () => raw.close() };
  for (const [name, { kind }] of Object.entries(service.methods)) {
    if (kind === 'unary')
      client[name] = (request: object, extras?: CallExtras) => callUnary(raw, name, request, metadata, extras);
    else if (kind === 'client-stream')
      client[name] = (requests: AsyncIterable<object>, extras?: CallExtras) =>
        callClientStream(raw, name, requests, metadata, extras);
    else if (kind === 'server-stream')
      client[name] = (request: object, extras?: CallExtras) => callServerStream(raw, name, request, metadata, extras);
    else client[name] = () => (raw[name] as (m: Metadata) => unknown).call(raw, metadata);
  }
  return client as TypedClient<M>;
}

type RawMethods = Record<string, (...args: unknown[]) => unknown>;

function callUnary(
  raw: RawMethods,
  name: string,
  request: object,
  metadata: Metadata,
  extras: CallExtras = {},
): Promise<object> {
  return new Promise((resolve, reject) => {
    const options: CallOptions = { deadline: Date.now() + (extras.timeoutMs ?? DEFAULT_TIMEOUT_MS) };
    const call = raw[name]?.call(raw, request, metadata, options, (error: Error | null, response: object) => {
      forget();
      if (error === null) resolve(response);
      else reject(fromServiceError(error));
    }) as { cancel(): void };
    const forget = onAbort(extras.signal, () => call.cancel());
  });
}

async function callClientStream(
  raw: RawMethods,
  name: string,
  requests: AsyncIterable<object>,
  metadata: Metadata,
  extras: CallExtras = {},
): Promise<object> {
  let call: ClientWritableStream<object> | undefined;
  let failed: unknown;
  const response = new Promise<object>((resolve, reject) => {
    const options: CallOptions = extras.timeoutMs === undefined ? {} : { deadline: Date.now() + extras.timeoutMs };
    call = raw[name]?.call(raw, metadata, options, (error: Error | null, value: object) => {
      if (error === null) resolve(value);
      else {
        failed = error;
        reject(fromServiceError(error));
      }
    }) as ClientWritableStream<object>;
  });
  response.catch(() => undefined);
  const forget = onAbort(extras.signal, () => call?.cancel());
  response.finally(forget).catch(() => undefined);
  for await (const message of requests) {
    if (failed !== undefined) break;
    if (call?.write(message) === false) await Promise.race([once(call, 'drain'), response.catch(() => undefined)]);
  }
  call?.end();
  return response;
}

async function* callServerStream(
  raw: RawMethods,
  name: string,
  request: object,
  metadata: Metadata,
  extras: CallExtras = {},
): AsyncGenerator<object> {
  const options: CallOptions = extras.timeoutMs === undefined ? {} : { deadline: Date.now() + extras.timeoutMs };
  const call = raw[name]?.call(raw, request, metadata, options) as ClientReadableStream<object>;
  const forget = onAbort(extras.signal, () => call.cancel());
  try {
    for await (const message of call) yield message as object;
  } catch (error) {
    throw fromServiceError(error);
  } finally {
    forget();
    call.cancel();
  }
}

/** Returns how to stop listening: one signal may live for a whole process and see thousands of calls. */
function onAbort(signal: AbortSignal | undefined, action: () => void): () => void {
  if (signal === undefined) return () => undefined;
  if (signal.aborted) action();
  else signal.addEventListener('abort', action, { once: true });
  return () => signal.removeEventListener('abort', action);
}

function once(emitter: NodeJS.EventEmitter, event: string): Promise<void> {
  return new Promise((resolve) => emitter.once(event, () => resolve()));
}
