/**
 * Two kinds of failure: LibvirtError, what the daemon answered, and ConnectionError, why there is no answer. Match on
 * `code` (and `domain` where one code means several things); libvirt's messages change between versions.
 */
import { domain, network } from './objects.js';
import type { Out } from './xdr.js';
import { i32, opt, optStr, struct } from './xdr.js';

/** virErrorNumber, those that a host agent acts upon. Unknown numbers are generic failures: codes get finer with time. */
export const ERROR = {
  INTERNAL_ERROR: 1,
  NO_MEMORY: 2,
  /** The driver lacks this call. */
  NO_SUPPORT: 3,
  NO_CONNECT: 5,
  INVALID_CONN: 6,
  INVALID_DOMAIN: 7,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  XML_ERROR: 27,
  DOM_EXIST: 28,
  /** The connection is read-only. */
  OPERATION_DENIED: 29,
  XML_DETAIL: 35,
  INVALID_NETWORK: 36,
  NETWORK_EXIST: 37,
  SYSTEM_ERROR: 38,
  /** With domain RPC: an older daemon that does not know the procedure. */
  RPC: 39,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  INVALID_MAC: 44,
  AUTH_FAILED: 45,
  INVALID_STORAGE_POOL: 46,
  INVALID_STORAGE_VOL: 47,
  NO_STORAGE_POOL: 49,
  NO_STORAGE_VOL: 50,
  INVALID_NODE_DEVICE: 52,
  NO_NODE_DEVICE: 53,
  NO_SECURITY_MODEL: 54,
  /** The object is not in a state that allows this. */
  OPERATION_INVALID: 55,
  NO_INTERFACE: 57,
  INVALID_NWFILTER: 61,
  NO_NWFILTER: 62,
  INVALID_SECRET: 65,
  NO_SECRET: 66,
  CONFIG_UNSUPPORTED: 67,
  /** Another job holds the domain's lock (30 s passed). */
  OPERATION_TIMEOUT: 68,
  MIGRATE_PERSIST_FAILED: 69,
  HOOK_SCRIPT_FAILED: 70,
  INVALID_DOMAIN_SNAPSHOT: 71,
  NO_DOMAIN_SNAPSHOT: 72,
  INVALID_STREAM: 73,
  ARGUMENT_UNSUPPORTED: 74,
  STORAGE_PROBE_FAILED: 75,
  STORAGE_POOL_BUILT: 76,
  SNAPSHOT_REVERT_RISKY: 77,
  OPERATION_ABORTED: 78,
  AUTH_CANCELLED: 79,
  NO_DOMAIN_METADATA: 80,
  MIGRATE_UNSAFE: 81,
  OVERFLOW: 82,
  BLOCK_COPY_ACTIVE: 83,
  OPERATION_UNSUPPORTED: 84,
  SSH: 85,
  /** The guest agent does not answer. */
  AGENT_UNRESPONSIVE: 86,
  RESOURCE_BUSY: 87,
  ACCESS_DENIED: 88,
  STORAGE_VOL_EXIST: 90,
  CPU_INCOMPATIBLE: 91,
  XML_INVALID_SCHEMA: 92,
  MIGRATE_FINISH_OK: 93,
  AUTH_UNAVAILABLE: 94,
  NO_CLIENT: 96,
  AGENT_UNSYNCED: 97,
  DEVICE_MISSING: 99,
  INVALID_NWFILTER_BINDING: 100,
  NO_NWFILTER_BINDING: 101,
  INVALID_DOMAIN_CHECKPOINT: 102,
  NO_DOMAIN_CHECKPOINT: 103,
  NO_DOMAIN_BACKUP: 104,
  NO_NETWORK_PORT: 107,
  CHECKPOINT_INCONSISTENT: 109,
  MULTIPLE_DOMAINS: 110,
} as const;

/** virErrorDomain, the one that changes what a code means. */
export const ERROR_DOMAIN = { RPC: 7 } as const;

export type ErrorName = keyof typeof ERROR;

const NAMES = new Map<number, string>(Object.entries(ERROR).map(([name, code]) => [code, name]));

export const errorCodec = struct({
  code: i32,
  domain: i32,
  message: optStr,
  level: i32,
  dom: opt(domain),
  str1: optStr,
  str2: optStr,
  str3: optStr,
  int1: i32,
  int2: i32,
  net: opt(network),
});
export type ErrorRecord = Out<typeof errorCodec>;

/** The daemon answered with an error. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  /** virErrorNumber. */
  readonly code: number;
  /** virErrorDomain: the part of libvirt that failed. */
  readonly domain: number;
  /** 1 warning, 2 error. */
  readonly level: number;
  /** The procedure that failed. */
  readonly procedure: string;
  /** Everything the daemon sent. */
  readonly record: ErrorRecord;

  constructor(procedure: string, record: ErrorRecord) {
    super(record.message ?? `libvirt error ${record.code}`);
    this.procedure = procedure;
    this.record = record;
    this.code = record.code;
    this.domain = record.domain;
    this.level = record.level;
  }

  /** The code's name, or its number as text. */
  get codeName(): string {
    return NAMES.get(this.code) ?? String(this.code);
  }
}

export type ConnectionErrorCode =
  /** No daemon at the socket, or it did not take the connection. */
  | 'UNREACHABLE'
  /** The daemon wants a way of proving who we are that this client does not have, or refused us. */
  | 'AUTH'
  /** The connection ended with the call in flight, or before it. Whether the daemon did the work is not known. */
  | 'CLOSED'
  /** The deadline passed. The daemon goes on with the call: there is no cancelling it. */
  | 'TIMEOUT'
  /** The caller's signal. The daemon goes on with the call. */
  | 'ABORTED'
  /** The daemon's bytes are not what the protocol says. */
  | 'PROTOCOL';

/** There is no answer from the daemon. */
export class ConnectionError extends Error {
  override readonly name = 'ConnectionError';
  readonly code: ConnectionErrorCode;

  constructor(code: ConnectionErrorCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? {} : { cause });
    this.code = code;
  }
}

/** Whether this is libvirt's answer with one of these codes. */
export function isLibvirtError(thrown: unknown, ...names: ErrorName[]): thrown is LibvirtError {
  return thrown instanceof LibvirtError && (names.length === 0 || names.some((n) => ERROR[n] === thrown.code));
}

/** Whether the daemon is too old for this procedure, or its driver does not have it. The connection stays usable. */
export function isUnsupported(thrown: unknown): boolean {
  if (!(thrown instanceof LibvirtError)) return false;
  return thrown.code === ERROR.NO_SUPPORT || (thrown.code === ERROR.RPC && thrown.domain === ERROR_DOMAIN.RPC);
}
