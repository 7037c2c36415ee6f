/** Flags and values of domains. See flags.ts. */

/** VIR_DOMAIN_ */
export const DOMAIN_STATE = {
  NOSTATE: 0,
  RUNNING: 1,
  BLOCKED: 2,
  PAUSED: 3,
  SHUTDOWN: 4,
  SHUTOFF: 5,
  CRASHED: 6,
  PMSUSPENDED: 7,
} as const;

/** VIR_DOMAIN_RUNNING_ */
export const RUNNING_REASON = {
  UNKNOWN: 0,
  BOOTED: 1,
  MIGRATED: 2,
  RESTORED: 3,
  FROM_SNAPSHOT: 4,
  UNPAUSED: 5,
  MIGRATION_CANCELED: 6,
  SAVE_CANCELED: 7,
  WAKEUP: 8,
  CRASHED: 9,
  POSTCOPY: 10,
  POSTCOPY_FAILED: 11,
} as const;

/** VIR_DOMAIN_PAUSED_ */
export const PAUSED_REASON = {
  UNKNOWN: 0,
  USER: 1,
  MIGRATION: 2,
  SAVE: 3,
  DUMP: 4,
  IOERROR: 5,
  WATCHDOG: 6,
  FROM_SNAPSHOT: 7,
  SHUTTING_DOWN: 8,
  SNAPSHOT: 9,
  CRASHED: 10,
  STARTING_UP: 11,
  POSTCOPY: 12,
  POSTCOPY_FAILED: 13,
} as const;

/** VIR_DOMAIN_SHUTOFF_ */
export const SHUTOFF_REASON = {
  UNKNOWN: 0,
  SHUTDOWN: 1,
  DESTROYED: 2,
  CRASHED: 3,
  MIGRATED: 4,
  SAVED: 5,
  FAILED: 6,
  FROM_SNAPSHOT: 7,
  DAEMON: 8,
} as const;

/** VIR_DOMAIN_CRASHED_ */
export const CRASHED_REASON = {
  UNKNOWN: 0,
  PANICKED: 1,
} as const;

/** VIR_DOMAIN_AFFECT_: Whom a change concerns: the running domain, its definition, or whichever is current. */
export const AFFECT = {
  CURRENT: 0,
  LIVE: 1 << 0,
  CONFIG: 1 << 1,
} as const;

/** VIR_DOMAIN_START_ */
export const START = {
  PAUSED: 1 << 0,
  AUTODESTROY: 1 << 1,
  BYPASS_CACHE: 1 << 2,
  FORCE_BOOT: 1 << 3,
  VALIDATE: 1 << 4,
  RESET_NVRAM: 1 << 5,
} as const;

/** VIR_DOMAIN_DESTROY_: Graceful: SIGTERM alone; fails rather than SIGKILL. */
export const DESTROY = {
  DEFAULT: 0,
  GRACEFUL: 1 << 0,
  REMOVE_LOGS: 1 << 1,
} as const;

/** VIR_DOMAIN_SHUTDOWN_: Ways of asking the guest to shut down. */
export const SHUTDOWN = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1 << 0,
  GUEST_AGENT: 1 << 1,
  INITCTL: 1 << 2,
  SIGNAL: 1 << 3,
  PARAVIRT: 1 << 4,
} as const;

/** VIR_DOMAIN_REBOOT_ */
export const REBOOT = {
  DEFAULT: 0,
  ACPI_POWER_BTN: 1 << 0,
  GUEST_AGENT: 1 << 1,
  INITCTL: 1 << 2,
  SIGNAL: 1 << 3,
  PARAVIRT: 1 << 4,
} as const;

/** VIR_DOMAIN_UNDEFINE_ */
export const UNDEFINE = {
  MANAGED_SAVE: 1 << 0,
  SNAPSHOTS_METADATA: 1 << 1,
  NVRAM: 1 << 2,
  KEEP_NVRAM: 1 << 3,
  CHECKPOINTS_METADATA: 1 << 4,
  TPM: 1 << 5,
  KEEP_TPM: 1 << 6,
} as const;

/** VIR_DOMAIN_DEFINE_ */
export const DEFINE = {
  VALIDATE: 1 << 0,
} as const;

/** VIR_DOMAIN_XML_ */
export const DOMAIN_XML = {
  SECURE: 1 << 0,
  INACTIVE: 1 << 1,
  UPDATE_CPU: 1 << 2,
  MIGRATABLE: 1 << 3,
} as const;

/** VIR_DOMAIN_METADATA_: Types of domainSetMetadata. */
export const METADATA = {
  DESCRIPTION: 0,
  TITLE: 1,
  ELEMENT: 2,
} as const;

/** VIR_DOMAIN_DEVICE_MODIFY_ */
export const DEVICE_MODIFY = {
  CURRENT: 0,
  LIVE: 1 << 0,
  CONFIG: 1 << 1,
  FORCE: 1 << 2,
} as const;

/** VIR_DOMAIN_VCPU_ */
export const VCPU = {
  CURRENT: 0,
  LIVE: 1 << 0,
  CONFIG: 1 << 1,
  MAXIMUM: 1 << 2,
  GUEST: 1 << 3,
  HOTPLUGGABLE: 1 << 4,
} as const;

/** VIR_DOMAIN_MEM_ */
export const MEM = {
  CURRENT: 0,
  LIVE: 1 << 0,
  CONFIG: 1 << 1,
  MAXIMUM: 1 << 2,
} as const;

/** VIR_CONNECT_LIST_DOMAINS_ */
export const LIST_DOMAINS = {
  ACTIVE: 1 << 0,
  INACTIVE: 1 << 1,
  PERSISTENT: 1 << 2,
  TRANSIENT: 1 << 3,
  RUNNING: 1 << 4,
  PAUSED: 1 << 5,
  SHUTOFF: 1 << 6,
  OTHER: 1 << 7,
  MANAGEDSAVE: 1 << 8,
  NO_MANAGEDSAVE: 1 << 9,
  AUTOSTART: 1 << 10,
  NO_AUTOSTART: 1 << 11,
  HAS_SNAPSHOT: 1 << 12,
  NO_SNAPSHOT: 1 << 13,
  HAS_CHECKPOINT: 1 << 14,
  NO_CHECKPOINT: 1 << 15,
} as const;

/** VIR_DOMAIN_STATS_: Groups of statistics. */
export const STATS = {
  STATE: 1 << 0,
  CPU_TOTAL: 1 << 1,
  BALLOON: 1 << 2,
  VCPU: 1 << 3,
  INTERFACE: 1 << 4,
  BLOCK: 1 << 5,
  PERF: 1 << 6,
  IOTHREAD: 1 << 7,
  MEMORY: 1 << 8,
  DIRTYRATE: 1 << 9,
  VM: 1 << 10,
} as const;

/** VIR_CONNECT_GET_ALL_DOMAINS_STATS_ */
export const STATS_FLAGS = {
  ACTIVE: 1 << 0,
  INACTIVE: 1 << 1,
  PERSISTENT: 1 << 2,
  TRANSIENT: 1 << 3,
  RUNNING: 1 << 4,
  PAUSED: 1 << 5,
  SHUTOFF: 1 << 6,
  OTHER: 1 << 7,
  NOWAIT: 1 << 29,
  BACKING: 1 << 30,
  ENFORCE_STATS: 2 ** 31,
} as const;

/** VIR_DOMAIN_GUEST_INFO_ */
export const GUEST_INFO = {
  USERS: 1 << 0,
  OS: 1 << 1,
  TIMEZONE: 1 << 2,
  HOSTNAME: 1 << 3,
  FILESYSTEM: 1 << 4,
  DISKS: 1 << 5,
  INTERFACES: 1 << 6,
} as const;

/** VIR_DOMAIN_INTERFACE_ADDRESSES_SRC_ */
export const INTERFACE_ADDRESSES_SRC = {
  LEASE: 0,
  AGENT: 1,
  ARP: 2,
} as const;

/** VIR_DOMAIN_DISK_ERROR_ */
export const DISK_ERROR = {
  NONE: 0,
  UNSPEC: 1,
  NO_SPACE: 2,
} as const;

/** VIR_KEYCODE_SET_ */
export const KEYCODE_SET = {
  LINUX: 0,
  XT: 1,
  ATSET1: 2,
  ATSET2: 3,
  ATSET3: 4,
  OSX: 5,
  XT_KBD: 6,
  USB: 7,
  WIN32: 8,
  QNUM: 9,
} as const;
