import type { ServiceDefinition, MethodDefinition } from '@grpc/grpc-js';
import type { Reader, Writer } from 'protobufjs/minimal.js';

/**
 * The small typed adapter between protobufjs's static classes and grpc-js. A service is a table of methods; server
 * handlers and clients take their types from it. test/proto compares the tables with the .proto files.
 */
export interface MessageClass<In, Out> {
  encode(message: In, writer?: Writer): Writer;
  decode(reader: Reader | Uint8Array): Out;
}

export type MethodKind = 'unary' | 'client-stream' | 'server-stream' | 'bidi';

export interface Method<ReqIn, Req, ResIn, Res, Kind extends MethodKind = MethodKind> {
  readonly kind: Kind;
  readonly request: MessageClass<ReqIn, Req>;
  readonly response: MessageClass<ResIn, Res>;
}

/* eslint-disable-next-line @typescript-eslint/no-explicit-any -- the table's element type; each entry keeps its own */
export type AnyMethod = Method<any, any, any, any>;
export type Methods = Readonly<Record<string, AnyMethod>>;

export interface Service<M extends Methods> {
  /** Full name, `ostler.v1.VmService`. */
  readonly name: string;
  readonly methods: M;
}

export type RequestOf<M> = M extends Method<infer _I, infer R, infer _S, infer _T> ? R : never;
export type RequestInputOf<M> = M extends Method<infer I, infer _R, infer _S, infer _T> ? I : never;
export type ResponseOf<M> = M extends Method<infer _I, infer _R, infer _S, infer T> ? T : never;
export type ResponseInputOf<M> = M extends Method<infer _I, infer _R, infer S, infer _T> ? S : never;

function method<Kind extends MethodKind>(kind: Kind) {
  return <ReqIn, Req, ResIn, Res>(
    request: MessageClass<ReqIn, Req>,
    response: MessageClass<ResIn, Res>,
  ): Method<ReqIn, Req, ResIn, Res, Kind> => ({ kind, request, response });
}

export const unary = method('unary');
export const clientStream = method('client-stream');
export const serverStream = method('server-stream');
export const bidi = method('bidi');

export function defineService<const M extends Methods>(name: string, methods: M): Service<M> {
  return { name, methods };
}

/** `/ostler.v1.VmService/GetVm` */
export function methodPath(service: Service<Methods>, method: string): string {
  return `/${service.name}/${method.charAt(0).toUpperCase()}${method.slice(1)}`;
}

/**
 * Bytes that are no message of the method's type. grpc-js would answer a throwing decoder by itself, without our error detail;
 * so the server adapter gets this in place of the request, and refuses it like every other bad input.
 */
export class MalformedRequest {
  readonly reason: string;
  constructor(reason: string) {
    this.reason = reason;
  }
}

function decodeRequest(type: MessageClass<unknown, unknown>, bytes: Uint8Array): object {
  try {
    return type.decode(bytes) as object;
  } catch (error) {
    return new MalformedRequest(error instanceof Error ? error.message : String(error));
  }
}

/** What grpc-js wants: for `server.addService` and `makeGenericClientConstructor`. */
export function toGrpcDefinition(service: Service<Methods>): ServiceDefinition {
  const definition: Record<string, MethodDefinition<object, object>> = {};
  for (const [name, { kind, request, response }] of Object.entries(service.methods)) {
    definition[name] = {
      path: methodPath(service, name),
      requestStream: kind === 'client-stream' || kind === 'bidi',
      responseStream: kind === 'server-stream' || kind === 'bidi',
      requestSerialize: (value) => Buffer.from(request.encode(value).finish()),
      requestDeserialize: (bytes) => decodeRequest(request, bytes),
      responseSerialize: (value) => Buffer.from(response.encode(value).finish()),
      responseDeserialize: (bytes) => response.decode(bytes) as object,
    };
  }
  return definition;
}
