import type { ServerResponse } from 'node:http';
import { CODES, GRPC_STATUS, toOstlerError, type OstlerError } from '../../../proto/kit/errors.js';
import { ostler } from '../../../proto/gen/ostler.js';
import { toErrorDetail } from '../../../proto/status.js';

/** gRPC status → name and HTTP status of the Connect protocol (https://connectrpc.com/docs/protocol#error-codes). */
const CONNECT: Readonly<Record<number, readonly [string, number]>> = {
  [GRPC_STATUS.CANCELLED]: ['canceled', 499],
  [GRPC_STATUS.UNKNOWN]: ['unknown', 500],
  [GRPC_STATUS.INVALID_ARGUMENT]: ['invalid_argument', 400],
  [GRPC_STATUS.DEADLINE_EXCEEDED]: ['deadline_exceeded', 504],
  [GRPC_STATUS.NOT_FOUND]: ['not_found', 404],
  [GRPC_STATUS.ALREADY_EXISTS]: ['already_exists', 409],
  [GRPC_STATUS.PERMISSION_DENIED]: ['permission_denied', 403],
  [GRPC_STATUS.RESOURCE_EXHAUSTED]: ['resource_exhausted', 429],
  [GRPC_STATUS.FAILED_PRECONDITION]: ['failed_precondition', 400],
  [GRPC_STATUS.ABORTED]: ['aborted', 409],
  [GRPC_STATUS.OUT_OF_RANGE]: ['out_of_range', 400],
  [GRPC_STATUS.UNIMPLEMENTED]: ['unimplemented', 501],
  [GRPC_STATUS.INTERNAL]: ['internal', 500],
  [GRPC_STATUS.UNAVAILABLE]: ['unavailable', 503],
  [GRPC_STATUS.DATA_LOSS]: ['data_loss', 500],
  [GRPC_STATUS.UNAUTHENTICATED]: ['unauthenticated', 401],
};

export interface HttpError {
  readonly status: number;
  readonly body: string;
}

/** An error as the Connect protocol carries it: our detail as protobuf for clients, and as plain JSON for people. */
export function toHttpError(thrown: unknown): HttpError {
  const error: OstlerError = toOstlerError(thrown);
  const [code, status] = CONNECT[CODES[error.code].grpc] ?? ['unknown', 500];
  const detail = toErrorDetail(error.toInfo());
  const value = Buffer.from(ostler.v1.ErrorDetail.encode(detail).finish()).toString('base64').replace(/=+$/, '');
  const body = JSON.stringify({
    code,
    message: error.message,
    details: [{ type: 'ostler.v1.ErrorDetail', value, debug: detail }],
  });
  return { status, body };
}

export function sendError(response: ServerResponse, thrown: unknown): void {
  const { status, body } = toHttpError(thrown);
  send(response, status, 'application/json', body);
}

export function send(response: ServerResponse, status: number, type: string, body: string | Uint8Array): void {
  if (response.headersSent || response.destroyed) return;
  response.writeHead(status, { 'content-type': type, 'content-length': Buffer.byteLength(body) });
  response.end(body);
}
