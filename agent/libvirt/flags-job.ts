/** Flags and values of jobs: snapshots, checkpoints, block jobs, migration. See flags.ts. */

/** VIR_DOMAIN_SNAPSHOT_CREATE_ */
export const SNAPSHOT_CREATE = {
  REDEFINE: 1 << 0,
  CURRENT: 1 << 1,
  NO_METADATA: 1 << 2,
  HALT: 1 << 3,
  DISK_ONLY: 1 << 4,
  REUSE_EXT: 1 << 5,
  QUIESCE: 1 << 6,
  ATOMIC: 1 << 7,
  LIVE: 1 << 8,
  VALIDATE: 1 << 9,
} as const;

/** VIR_DOMAIN_SNAPSHOT_LIST_: ROOTS and DESCENDANTS are one bit: its meaning depends on the call. */
export const SNAPSHOT_LIST = {
  ROOTS: 1 << 0,
  DESCENDANTS: 1 << 0,
  LEAVES: 1 << 2,
  NO_LEAVES: 1 << 3,
  METADATA: 1 << 1,
  NO_METADATA: 1 << 4,
  INACTIVE: 1 << 5,
  ACTIVE: 1 << 6,
  DISK_ONLY: 1 << 7,
  INTERNAL: 1 << 8,
  EXTERNAL: 1 << 9,
  TOPOLOGICAL: 1 << 10,
} as const;

/** VIR_DOMAIN_SNAPSHOT_REVERT_ */
export const SNAPSHOT_REVERT = {
  RUNNING: 1 << 0,
  PAUSED: 1 << 1,
  FORCE: 1 << 2,
  RESET_NVRAM: 1 << 3,
} as const;

/** VIR_DOMAIN_SNAPSHOT_DELETE_ */
export const SNAPSHOT_DELETE = {
  CHILDREN: 1 << 0,
  METADATA_ONLY: 1 << 1,
  CHILDREN_ONLY: 1 << 2,
} as const;

/** VIR_DOMAIN_CHECKPOINT_CREATE_ */
export const CHECKPOINT_CREATE = {
  REDEFINE: 1 << 0,
  QUIESCE: 1 << 1,
  REDEFINE_VALIDATE: 1 << 2,
} as const;

/** VIR_DOMAIN_CHECKPOINT_DELETE_ */
export const CHECKPOINT_DELETE = {
  CHILDREN: 1 << 0,
  METADATA_ONLY: 1 << 1,
  CHILDREN_ONLY: 1 << 2,
} as const;

/** VIR_DOMAIN_BACKUP_BEGIN_ */
export const BACKUP_BEGIN = {
  REUSE_EXTERNAL: 1 << 0,
} as const;

/** VIR_DOMAIN_SAVE_ */
export const SAVE = {
  BYPASS_CACHE: 1 << 0,
  RUNNING: 1 << 1,
  PAUSED: 1 << 2,
  RESET_NVRAM: 1 << 3,
} as const;

/** VIR_DOMAIN_BLOCK_COMMIT_ */
export const BLOCK_COMMIT = {
  SHALLOW: 1 << 0,
  DELETE: 1 << 1,
  ACTIVE: 1 << 2,
  RELATIVE: 1 << 3,
  BANDWIDTH_BYTES: 1 << 4,
} as const;

/** VIR_DOMAIN_BLOCK_PULL_ */
export const BLOCK_PULL = {
  BANDWIDTH_BYTES: 1 << 6,
} as const;

/** VIR_DOMAIN_BLOCK_REBASE_ */
export const BLOCK_REBASE = {
  SHALLOW: 1 << 0,
  REUSE_EXT: 1 << 1,
  COPY_RAW: 1 << 2,
  COPY: 1 << 3,
  RELATIVE: 1 << 4,
  COPY_DEV: 1 << 5,
  BANDWIDTH_BYTES: 1 << 6,
} as const;

/** VIR_DOMAIN_BLOCK_COPY_ */
export const BLOCK_COPY = {
  SHALLOW: 1 << 0,
  REUSE_EXT: 1 << 1,
  TRANSIENT_JOB: 1 << 2,
  SYNCHRONOUS_WRITES: 1 << 3,
} as const;

/** VIR_DOMAIN_BLOCK_RESIZE_ */
export const BLOCK_RESIZE = {
  BYTES: 1 << 0,
} as const;

/** VIR_DOMAIN_BLOCK_JOB_ABORT_ */
export const BLOCK_JOB_ABORT = {
  ASYNC: 1 << 0,
  PIVOT: 1 << 1,
} as const;

/** VIR_DOMAIN_BLOCK_JOB_TYPE_ */
export const BLOCK_JOB_TYPE = {
  UNKNOWN: 0,
  PULL: 1,
  COPY: 2,
  COMMIT: 3,
  ACTIVE_COMMIT: 4,
  BACKUP: 5,
} as const;

/** VIR_DOMAIN_BLOCK_JOB_ */
export const BLOCK_JOB_STATUS = {
  COMPLETED: 0,
  FAILED: 1,
  CANCELED: 2,
  READY: 3,
} as const;

/** VIR_DOMAIN_JOB_ */
export const JOB_TYPE = {
  NONE: 0,
  BOUNDED: 1,
  UNBOUNDED: 2,
  COMPLETED: 3,
  FAILED: 4,
  CANCELLED: 5,
} as const;

/** VIR_DOMAIN_JOB_OPERATION_ */
export const JOB_OPERATION = {
  UNKNOWN: 0,
  START: 1,
  SAVE: 2,
  RESTORE: 3,
  MIGRATION_IN: 4,
  MIGRATION_OUT: 5,
  SNAPSHOT: 6,
  SNAPSHOT_REVERT: 7,
  DUMP: 8,
  BACKUP: 9,
  SNAPSHOT_DELETE: 10,
} as const;

/** VIR_DOMAIN_JOB_STATS_ */
export const JOB_STATS = {
  COMPLETED: 1 << 0,
  KEEP_COMPLETED: 1 << 1,
} as const;

/** VIR_DOMAIN_CONTROL_ */
export const CONTROL_STATE = {
  OK: 0,
  JOB: 1,
  OCCUPIED: 2,
  ERROR: 3,
} as const;

/** VIR_MIGRATE_ */
export const MIGRATE = {
  LIVE: 1 << 0,
  PEER2PEER: 1 << 1,
  TUNNELLED: 1 << 2,
  PERSIST_DEST: 1 << 3,
  UNDEFINE_SOURCE: 1 << 4,
  PAUSED: 1 << 5,
  NON_SHARED_DISK: 1 << 6,
  NON_SHARED_INC: 1 << 7,
  CHANGE_PROTECTION: 1 << 8,
  UNSAFE: 1 << 9,
  OFFLINE: 1 << 10,
  COMPRESSED: 1 << 11,
  ABORT_ON_ERROR: 1 << 12,
  AUTO_CONVERGE: 1 << 13,
  RDMA_PIN_ALL: 1 << 14,
  POSTCOPY: 1 << 15,
  TLS: 1 << 16,
  PARALLEL: 1 << 17,
  NON_SHARED_SYNCHRONOUS_WRITES: 1 << 18,
  POSTCOPY_RESUME: 1 << 19,
  ZEROCOPY: 1 << 20,
} as const;
