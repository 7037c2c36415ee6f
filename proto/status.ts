import { Metadata, type ServiceError } from '@grpc/grpc-js';
import { CODES, GRPC_STATUS, isCode, OstlerError, toOstlerError, type Code, type ErrorInfo } from './kit/errors.js';
import { ostler } from './gen/ostler.js';

/** Errors over gRPC: status and message for everybody, the typed detail in this binary trailer. */
export const ERROR_TRAILER = 'ostler-error-bin';

export function toErrorDetail(info: ErrorInfo): ostler.v1.ErrorDetail.$Properties {
  return {
    reason: info.code,
    message: info.message,
    remedy: info.remedy ?? '',
    field: info.field ?? '',
    metadata: { ...info.metadata },
  };
}

export function fromErrorDetail(detail: ostler.v1.ErrorDetail.$Properties): ErrorInfo {
  const reason = detail.reason ?? '';
  return {
    code: isCode(reason) ? reason : 'INTERNAL',
    message: detail.message ?? '',
    ...(detail.remedy ? { remedy: detail.remedy } : {}),
    ...(detail.field ? { field: detail.field } : {}),
    metadata: { ...detail.metadata },
  };
}

/**
 * Trailers are HTTP/2 headers, and gRPC clients refuse more than 8 KiB of them, so that a long text would arrive as a broken
 * connection instead of an error. Bytes of UTF-8; the status message is percent-encoded (threefold) and sent beside the detail.
 */
const LIMITS = { message: 800, remedy: 400, field: 200, metadata: 1600 } as const;

function cut(text: string, bytes: number): string {
  if (Buffer.byteLength(text) <= bytes) return text;
  // A character that the cut splits decodes to U+FFFD; it goes, too.
  const whole = Buffer.from(text)
    .subarray(0, bytes - 3)
    .toString('utf8')
    .replace(/\ufffd+$/, '');
  return `${whole}…`;
}

/** The same error, small enough for a trailer. Metadata beyond the limit is counted under `omitted`. */
export function boundedErrorInfo(info: ErrorInfo): ErrorInfo {
  const metadata: Record<string, string> = {};
  let used = 0;
  let omitted = 0;
  for (const [key, value] of Object.entries(info.metadata ?? {})) {
    const [shortKey, shortValue] = [cut(key, 100), cut(value, 300)];
    const size = Buffer.byteLength(shortKey) + Buffer.byteLength(shortValue) + 8;
    if (used + size > LIMITS.metadata) {
      omitted += 1;
      continue;
    }
    used += size;
    metadata[shortKey] = shortValue;
  }
  if (omitted > 0) metadata['omitted'] = String(omitted);
  return {
    code: info.code,
    message: cut(info.message, LIMITS.message),
    ...(info.remedy === undefined ? {} : { remedy: cut(info.remedy, LIMITS.remedy) }),
    ...(info.field === undefined ? {} : { field: cut(info.field, LIMITS.field) }),
    metadata,
  };
}

/** What a server handler hands to grpc-js when it failed. */
export function toServiceError(thrown: unknown): { code: number; details: string; metadata: Metadata } {
  const info = boundedErrorInfo(toOstlerError(thrown).toInfo());
  const metadata = new Metadata();
  metadata.set(ERROR_TRAILER, Buffer.from(ostler.v1.ErrorDetail.encode(toErrorDetail(info)).finish()));
  return { code: CODES[info.code].grpc, details: info.message, metadata };
}

/** What a client makes of a failed call. Without our trailer (a proxy, a dead server) the gRPC status decides the code. */
export function fromServiceError(thrown: unknown): OstlerError {
  const error = thrown as Partial<Omit<ServiceError, 'code'>> & { code?: unknown };
  if (typeof error.code !== 'number') return toOstlerError(thrown);
  const trailer = error.metadata?.get(ERROR_TRAILER)[0];
  if (Buffer.isBuffer(trailer)) {
    return OstlerError.fromInfo(fromErrorDetail(ostler.v1.ErrorDetail.decode(trailer)));
  }
  return new OstlerError(codeOfStatus(error.code), error.details ?? error.message ?? 'The call failed.', {
    cause: thrown,
  });
}

function codeOfStatus(code: number): Code {
  switch (code) {
    case GRPC_STATUS.CANCELLED:
      return 'CANCELLED';
    case GRPC_STATUS.DEADLINE_EXCEEDED:
      return 'TIMEOUT';
    case GRPC_STATUS.UNAUTHENTICATED:
      return 'UNAUTHENTICATED';
    case GRPC_STATUS.PERMISSION_DENIED:
      return 'PERMISSION_DENIED';
    case GRPC_STATUS.UNAVAILABLE:
      return 'HOST_UNREACHABLE';
    case GRPC_STATUS.UNIMPLEMENTED:
      return 'UNSUPPORTED';
    case GRPC_STATUS.INVALID_ARGUMENT:
    case GRPC_STATUS.RESOURCE_EXHAUSTED:
      return 'INVALID_FIELD';
    default:
      return 'INTERNAL';
  }
}
