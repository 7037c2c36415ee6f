import { Metadata } from '@grpc/grpc-js';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { invalidField, OstlerError } from '../../../proto/kit/errors.js';
import type { CallContext } from '../../../proto/server.js';
import { methodPath, type AnyMethod } from '../../../proto/service.js';
import type { ServedService } from '../services.js';
import { publicProtoFiles, PROTO_ROOT } from '../proto-files.js';
import { send } from './errors.js';
import { createJsonCodec } from './json.js';
import protobuf from 'protobufjs';

/** A VM with all its user data and scripts at their limits is smaller. */
const BODY_MAX_BYTES = 4 * 1024 * 1024;
const BODY_MAX_MS = 30_000;

/** Answers `POST /ostler.v1.Service/Method`; false: the path is no method of ours. Throws what the client is to see. */
export type Bridge = (path: string, request: IncomingMessage, response: ServerResponse) => Promise<boolean>;

interface Route {
  readonly service: string;
  readonly method: string;
  readonly requestType: string;
  readonly responseType: string;
  readonly message: AnyMethod['request'];
  readonly handler: (request: unknown, context: CallContext) => Promise<object>;
}

/** The Connect protocol's unary calls in JSON (https://connectrpc.com/docs/protocol), on the same guarded handlers as gRPC. */
export function createBridge(services: readonly ServedService[]): Bridge {
  const codec = createJsonCodec();
  const routes = collectRoutes(services);
  return async (path, request, response) => {
    const route = routes.get(path);
    if (route === undefined) return false;
    if (request.method !== 'POST') {
      response.setHeader('allow', 'POST');
      send(response, 405, 'text/plain', 'POST only\n');
      return true;
    }
    if (!/^application\/json(?:;\s*charset=utf-8)?$/i.test(request.headers['content-type'] ?? '')) {
      send(response, 415, 'text/plain', 'content-type: application/json only\n');
      return true;
    }
    const body = await readBody(request);
    const draft = codec.fromJson(route.requestType, parseJson(body));
    // Through the wire form: the handlers get a real message, with every default in place.
    const message: unknown = route.message.decode(route.message.encode(draft).finish());
    const answer = await route.handler(message, contextOf(route, request, response));
    send(response, 200, 'application/json', JSON.stringify(codec.toJson(route.responseType, answer)));
    return true;
  };
}

/** Names of the types come from the proto files; streaming methods have no JSON form here. */
function collectRoutes(services: readonly ServedService[]): ReadonlyMap<string, Route> {
  const root = new protobuf.Root();
  root.resolvePath = (_origin, target) => (target.startsWith('google/protobuf/') ? target : `${PROTO_ROOT}${target}`);
  root.loadSync(publicProtoFiles());
  const routes = new Map<string, Route>();
  for (const { service, handlers } of services) {
    const declared = root.lookupService(service.name);
    for (const [name, method] of Object.entries(service.methods)) {
      if (method.kind !== 'unary') continue;
      const path = methodPath(service, name);
      const { requestType, responseType } = declared.methods[path.slice(path.lastIndexOf('/') + 1)] ?? {};
      if (requestType === undefined || responseType === undefined)
        throw new OstlerError('INTERNAL', `${path} is not in the proto files.`);
      routes.set(path, {
        service: service.name,
        method: name,
        requestType: `ostler.v1.${requestType}`,
        responseType: `ostler.v1.${responseType}`,
        message: method.request,
        handler: handlers[name] as Route['handler'],
      });
    }
  }
  return routes;
}

function parseJson(body: Buffer): unknown {
  if (body.length === 0) return {};
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch {
    throw invalidField('body', 'is not JSON in UTF-8');
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const tooLong = (): OstlerError => invalidField('body', `is longer than ${BODY_MAX_BYTES} bytes`);
  if (Number(request.headers['content-length'] ?? 0) > BODY_MAX_BYTES) throw tooLong();
  const late = setTimeout(() => request.destroy(new Error('the body took too long')), BODY_MAX_MS);
  try {
    const chunks: Buffer[] = [];
    let length = 0;
    for await (const chunk of request as AsyncIterable<Buffer>) {
      length += chunk.length;
      if (length > BODY_MAX_BYTES) throw tooLong();
      chunks.push(chunk);
    }
    return Buffer.concat(chunks);
  } finally {
    clearTimeout(late);
  }
}

function contextOf(route: Route, request: IncomingMessage, response: ServerResponse): CallContext {
  const metadata = new Metadata();
  const { authorization } = request.headers;
  if (authorization !== undefined && /^[\x20-\x7e]*$/.test(authorization)) metadata.set('authorization', authorization);
  const abort = new AbortController();
  response.on('close', () => {
    if (!response.writableFinished) abort.abort();
  });
  const { remoteAddress = '', remotePort = 0 } = request.socket;
  return {
    service: route.service,
    method: route.method,
    metadata,
    peer: `${remoteAddress}:${remotePort}`,
    peerCertificate: undefined,
    signal: abort.signal,
  };
}
