/**
 * The one error type and the one table of codes. Every error a person can cause has a code, says what happened, why, and
 * what to do next. Errors of libvirt, gRPC and the file system are converted once, at the client that met them.
 */

/** gRPC status numbers (https://grpc.github.io/grpc/core/md_doc_statuscodes.html); kept here so that the kit needs no gRPC. */
export const GRPC_STATUS = {
  CANCELLED: 1,
  UNKNOWN: 2,
  INVALID_ARGUMENT: 3,
  DEADLINE_EXCEEDED: 4,
  NOT_FOUND: 5,
  ALREADY_EXISTS: 6,
  PERMISSION_DENIED: 7,
  RESOURCE_EXHAUSTED: 8,
  FAILED_PRECONDITION: 9,
  ABORTED: 10,
  OUT_OF_RANGE: 11,
  UNIMPLEMENTED: 12,
  INTERNAL: 13,
  UNAVAILABLE: 14,
  DATA_LOSS: 15,
  UNAUTHENTICATED: 16,
} as const;

interface CodeInfo {
  readonly grpc: number;
  /** Whether the same request may succeed later without anybody changing anything. */
  readonly retryable: boolean;
}

/** Reason codes: what machines match on. Add a line here before using a new one. */
export const CODES = {
  /** A field of the request, a config key or a record does not parse; `field` names it. */
  INVALID_FIELD: { grpc: GRPC_STATUS.INVALID_ARGUMENT, retryable: false },
  /** No resource of that name or id. */
  NOT_FOUND: { grpc: GRPC_STATUS.NOT_FOUND, retryable: false },
  /** The name is taken by another resource. */
  ALREADY_EXISTS: { grpc: GRPC_STATUS.ALREADY_EXISTS, retryable: false },
  /** The resource is not in a state that allows this (start a running VM, delete an image in use). */
  WRONG_STATE: { grpc: GRPC_STATUS.FAILED_PRECONDITION, retryable: false },
  /** Something refers to it, so that it cannot go. */
  IN_USE: { grpc: GRPC_STATUS.FAILED_PRECONDITION, retryable: false },
  /** The etag sent is not the resource's present one. */
  STALE_ETAG: { grpc: GRPC_STATUS.ABORTED, retryable: false },
  /** Another operation works on the resource; metadata `operation` names it. */
  OPERATION_RUNNING: { grpc: GRPC_STATUS.ABORTED, retryable: true },
  /** The same request_id came with a different request. */
  REQUEST_ID_REUSED: { grpc: GRPC_STATUS.INVALID_ARGUMENT, retryable: false },
  /** No host can take the VM; metadata maps each host to its reason. */
  NO_CAPACITY: { grpc: GRPC_STATUS.RESOURCE_EXHAUSTED, retryable: true },
  /** There are as many of these as are allowed; nothing is removed to make room. */
  LIMIT_REACHED: { grpc: GRPC_STATUS.RESOURCE_EXHAUSTED, retryable: false },
  /** A VM's disks are not what was written down of them: somebody changed them from outside. Nothing is touched. */
  CHAIN_CHANGED: { grpc: GRPC_STATUS.FAILED_PRECONDITION, retryable: false },
  /** No or bad token. */
  UNAUTHENTICATED: { grpc: GRPC_STATUS.UNAUTHENTICATED, retryable: false },
  /** The token's role does not allow this, or an agent spoke for another host. */
  PERMISSION_DENIED: { grpc: GRPC_STATUS.PERMISSION_DENIED, retryable: false },
  /** A join token that was used before, or is past its time. */
  TOKEN_SPENT: { grpc: GRPC_STATUS.PERMISSION_DENIED, retryable: false },
  /** A command carries an epoch older than one already seen for this VM. */
  STALE_EPOCH: { grpc: GRPC_STATUS.ABORTED, retryable: false },
  /** The host's agent is not connected. */
  HOST_UNREACHABLE: { grpc: GRPC_STATUS.UNAVAILABLE, retryable: true },
  /** libvirt's daemon does not answer. */
  HYPERVISOR_UNAVAILABLE: { grpc: GRPC_STATUS.UNAVAILABLE, retryable: true },
  /** libvirt refused or failed; its own code and message are in the metadata. */
  HYPERVISOR_ERROR: { grpc: GRPC_STATUS.INTERNAL, retryable: false },
  /** No room left on a pool or file system. */
  STORAGE_FULL: { grpc: GRPC_STATUS.RESOURCE_EXHAUSTED, retryable: false },
  /** A storage action failed for another reason than room. */
  STORAGE_ERROR: { grpc: GRPC_STATUS.INTERNAL, retryable: false },
  /** An image's bytes are not what was announced (checksum, format, a backing file inside). */
  BAD_IMAGE: { grpc: GRPC_STATUS.FAILED_PRECONDITION, retryable: false },
  /** The guest did not do what it was asked within its time. */
  GUEST_TIMEOUT: { grpc: GRPC_STATUS.DEADLINE_EXCEEDED, retryable: true },
  /** A deadline passed. */
  TIMEOUT: { grpc: GRPC_STATUS.DEADLINE_EXCEEDED, retryable: true },
  /** A person or the daemon's end cancelled it. */
  CANCELLED: { grpc: GRPC_STATUS.CANCELLED, retryable: false },
  /** A console ticket that was used, is too old, or belongs to another VM. */
  TICKET_SPENT: { grpc: GRPC_STATUS.PERMISSION_DENIED, retryable: false },
  /** A page_token or resume_token that this server did not make, or whose place is gone. */
  BAD_TOKEN: { grpc: GRPC_STATUS.INVALID_ARGUMENT, retryable: false },
  /** This version cannot do it. */
  UNSUPPORTED: { grpc: GRPC_STATUS.UNIMPLEMENTED, retryable: false },
  /** The store lost or refused a write. */
  STORE_ERROR: { grpc: GRPC_STATUS.UNAVAILABLE, retryable: true },
  /** A bug of ours. */
  INTERNAL: { grpc: GRPC_STATUS.INTERNAL, retryable: false },
} as const satisfies Record<string, CodeInfo>;

export type Code = keyof typeof CODES;

/** Plain form of an error: crosses the link, is stored in operations and goes out as gRPC error details. */
export interface ErrorInfo {
  readonly code: Code;
  /** What happened and why, one sentence, for a person. */
  readonly message: string;
  /** What to do next, one sentence; empty when there is nothing a person can do. */
  readonly remedy?: string;
  /** The request field or config key at fault, in the API's spelling (`spec.disks[1].size_bytes`). */
  readonly field?: string;
  /** Facts for machines: `operation`, `host`, `libvirt_code` … */
  readonly metadata?: Readonly<Record<string, string>>;
}

export class OstlerError extends Error {
  readonly code: Code;
  readonly remedy: string | undefined;
  readonly field: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;

  constructor(code: Code, message: string, extra: Omit<ErrorInfo, 'code' | 'message'> & { cause?: unknown } = {}) {
    super(message, extra.cause === undefined ? {} : { cause: extra.cause });
    this.name = 'OstlerError';
    this.code = code;
    this.remedy = extra.remedy;
    this.field = extra.field;
    this.metadata = extra.metadata ?? {};
  }

  get retryable(): boolean {
    return CODES[this.code].retryable;
  }

  toInfo(): ErrorInfo {
    return {
      code: this.code,
      message: this.message,
      ...(this.remedy === undefined ? {} : { remedy: this.remedy }),
      ...(this.field === undefined ? {} : { field: this.field }),
      metadata: this.metadata,
    };
  }

  static fromInfo(info: ErrorInfo): OstlerError {
    return new OstlerError(info.code, info.message, {
      ...(info.remedy === undefined ? {} : { remedy: info.remedy }),
      ...(info.field === undefined ? {} : { field: info.field }),
      ...(info.metadata === undefined ? {} : { metadata: info.metadata }),
    });
  }
}

export function isCode(value: string): value is Code {
  return Object.hasOwn(CODES, value);
}

/** Converts whatever was thrown. An unknown error becomes INTERNAL and keeps its cause for the log. */
export function toOstlerError(thrown: unknown): OstlerError {
  if (thrown instanceof OstlerError) return thrown;
  if (thrown instanceof Error && thrown.name === 'AbortError') {
    return new OstlerError('CANCELLED', 'The work was cancelled.', { cause: thrown });
  }
  const message = thrown instanceof Error ? thrown.message : String(thrown);
  return new OstlerError('INTERNAL', `Unexpected error: ${message}`, {
    remedy: 'Report this with the log of the daemon that printed it.',
    cause: thrown,
  });
}

export function invalidField(field: string, why: string, remedy?: string): OstlerError {
  return new OstlerError('INVALID_FIELD', `${field}: ${why}`, { field, ...(remedy === undefined ? {} : { remedy }) });
}
