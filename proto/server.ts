import type {
  Metadata,
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  UntypedServiceImplementation,
} from '@grpc/grpc-js';
import { OstlerError } from './kit/errors.js';
import {
  MalformedRequest,
  type AnyMethod,
  type Methods,
  type RequestOf,
  type ResponseInputOf,
  type Service,
} from './service.js';
import { toServiceError } from './status.js';

/** What a handler may know of its call. */
export interface CallContext {
  readonly service: string;
  readonly method: string;
  readonly metadata: Metadata;
  /** `ip:port` of the caller, for the audit log. */
  readonly peer: string;
  /** PEM-less raw certificate of an mTLS peer, if it showed one. */
  readonly peerCertificate: Buffer | undefined;
  /** Aborts when the caller hangs up or its deadline passes. */
  readonly signal: AbortSignal;
}

type Handler<M extends AnyMethod> = M['kind'] extends 'unary'
  ? (request: RequestOf<M>, context: CallContext) => Promise<ResponseInputOf<M>>
  : M['kind'] extends 'client-stream'
    ? (requests: AsyncIterable<RequestOf<M>>, context: CallContext) => Promise<ResponseInputOf<M>>
    : M['kind'] extends 'server-stream'
      ? (request: RequestOf<M>, context: CallContext) => AsyncIterable<ResponseInputOf<M>>
      : (call: ServerDuplexStream<RequestOf<M>, ResponseInputOf<M>>, context: CallContext) => Promise<void>;

export type Handlers<M extends Methods> = { readonly [K in keyof M]: Handler<M[K]> };

/** Runs before every handler; throws to refuse (authentication, audit). It may return a richer context. */
export type Guard = (context: CallContext, request: unknown) => Promise<void>;

type AnyCall =
  | ServerUnaryCall<unknown, unknown>
  | ServerReadableStream<unknown, unknown>
  | ServerWritableStream<unknown, unknown>
  | ServerDuplexStream<unknown, unknown>;

function contextOf(call: AnyCall, service: string, method: string): CallContext {
  const abort = new AbortController();
  (call as NodeJS.EventEmitter).on('cancelled', () => abort.abort());
  const auth = call.getAuthContext();
  return {
    service,
    method,
    metadata: call.metadata,
    peer: call.getPeer(),
    peerCertificate: auth.sslPeerCertificate?.raw,
    signal: abort.signal,
  };
}

/** INVALID_FIELD when the bytes did not decode. Bidirectional streams carry MalformedRequest as it is: their handler checks. */
export function wellFormed(request: unknown): unknown {
  if (request instanceof MalformedRequest)
    throw new OstlerError('INVALID_FIELD', `The request is not a message of this method: ${request.reason}`, {
      remedy: 'Build the client from the proto files of this release.',
    });
  return request;
}

async function* eachWellFormed(requests: AsyncIterable<unknown>): AsyncGenerator<unknown> {
  for await (const request of requests) yield wellFormed(request);
}

/** Turns typed handlers into what `server.addService` takes. Every thrown error leaves as a typed status. */
export function implement<M extends Methods>(
  service: Service<M>,
  handlers: Handlers<M>,
  guard: Guard = () => Promise.resolve(),
): UntypedServiceImplementation {
  const implementation: UntypedServiceImplementation = {};
  for (const [name, { kind }] of Object.entries(service.methods)) {
    const handler = handlers[name] as unknown;
    if (kind === 'unary') {
      const run = handler as (request: unknown, context: CallContext) => Promise<unknown>;
      implementation[name] = (call: ServerUnaryCall<unknown, unknown>, done: sendUnaryData<unknown>) => {
        const context = contextOf(call, service.name, name);
        guard(context, call.request)
          .then(() => run(wellFormed(call.request), context))
          .then(
            (response) => done(null, response),
            (error: unknown) => done(toServiceError(error)),
          );
      };
    } else if (kind === 'client-stream') {
      const run = handler as (requests: AsyncIterable<unknown>, context: CallContext) => Promise<unknown>;
      implementation[name] = (call: ServerReadableStream<unknown, unknown>, done: sendUnaryData<unknown>) => {
        const context = contextOf(call, service.name, name);
        guard(context, undefined)
          .then(() => run(eachWellFormed(call), context))
          .then(
            (response) => done(null, response),
            (error: unknown) => done(toServiceError(error)),
          );
      };
    } else if (kind === 'server-stream') {
      const run = handler as (request: unknown, context: CallContext) => AsyncIterable<unknown>;
      implementation[name] = (call: ServerWritableStream<unknown, unknown>) => {
        const context = contextOf(call, service.name, name);
        guard(context, call.request)
          .then(() => pump(run(wellFormed(call.request), context), call, context.signal))
          .then(
            () => call.end(),
            (error: unknown) => call.emit('error', toServiceError(error)),
          );
      };
    } else {
      const run = handler as (call: ServerDuplexStream<unknown, unknown>, context: CallContext) => Promise<void>;
      implementation[name] = (call: ServerDuplexStream<unknown, unknown>) => {
        const context = contextOf(call, service.name, name);
        guard(context, undefined)
          .then(() => run(call, context))
          .then(
            () => call.end(),
            (error: unknown) => call.emit('error', toServiceError(error)),
          );
      };
    }
  }
  return implementation;
}

async function pump(
  source: AsyncIterable<unknown>,
  call: ServerWritableStream<unknown, unknown>,
  signal: AbortSignal,
): Promise<void> {
  for await (const message of source) {
    if (signal.aborted) return;
    if (!call.write(message)) await drained(call, signal);
  }
}

function drained(call: ServerWritableStream<unknown, unknown>, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      call.off('drain', done);
      signal.removeEventListener('abort', done);
      resolve();
    };
    call.on('drain', done);
    signal.addEventListener('abort', done, { once: true });
    if (signal.aborted) done();
  });
}
