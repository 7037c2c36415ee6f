/** Values in events. See flags.ts. */

/** VIR_DOMAIN_EVENT_: `event` of the lifecycle event; `detail` by event below. */
export const LIFECYCLE_EVENT = {
  DEFINED: 0,
  UNDEFINED: 1,
  STARTED: 2,
  SUSPENDED: 3,
  RESUMED: 4,
  STOPPED: 5,
  SHUTDOWN: 6,
  PMSUSPENDED: 7,
  CRASHED: 8,
} as const;

/** VIR_DOMAIN_EVENT_DEFINED_ */
export const EVENT_DEFINED = {
  ADDED: 0,
  UPDATED: 1,
  RENAMED: 2,
  FROM_SNAPSHOT: 3,
} as const;

/** VIR_DOMAIN_EVENT_UNDEFINED_ */
export const EVENT_UNDEFINED = {
  REMOVED: 0,
  RENAMED: 1,
} as const;

/** VIR_DOMAIN_EVENT_STARTED_ */
export const EVENT_STARTED = {
  BOOTED: 0,
  MIGRATED: 1,
  RESTORED: 2,
  FROM_SNAPSHOT: 3,
  WAKEUP: 4,
} as const;

/** VIR_DOMAIN_EVENT_SUSPENDED_ */
export const EVENT_SUSPENDED = {
  PAUSED: 0,
  MIGRATED: 1,
  IOERROR: 2,
  WATCHDOG: 3,
  RESTORED: 4,
  FROM_SNAPSHOT: 5,
  API_ERROR: 6,
  POSTCOPY: 7,
  POSTCOPY_FAILED: 8,
} as const;

/** VIR_DOMAIN_EVENT_RESUMED_ */
export const EVENT_RESUMED = {
  UNPAUSED: 0,
  MIGRATED: 1,
  FROM_SNAPSHOT: 2,
  POSTCOPY: 3,
  POSTCOPY_FAILED: 4,
} as const;

/** VIR_DOMAIN_EVENT_STOPPED_ */
export const EVENT_STOPPED = {
  SHUTDOWN: 0,
  DESTROYED: 1,
  CRASHED: 2,
  MIGRATED: 3,
  SAVED: 4,
  FAILED: 5,
  FROM_SNAPSHOT: 6,
} as const;

/** VIR_DOMAIN_EVENT_SHUTDOWN_ */
export const EVENT_SHUTDOWN = {
  FINISHED: 0,
  GUEST: 1,
  HOST: 2,
} as const;

/** VIR_DOMAIN_EVENT_CRASHED_ */
export const EVENT_CRASHED = {
  PANICKED: 0,
  CRASHLOADED: 1,
} as const;

/** VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_STATE_ */
export const AGENT_STATE = {
  CONNECTED: 1,
  DISCONNECTED: 2,
} as const;

/** VIR_DOMAIN_EVENT_WATCHDOG_ */
export const WATCHDOG_ACTION = {
  NONE: 0,
} as const;

/** VIR_DOMAIN_EVENT_IO_ERROR_ */
export const IO_ERROR_ACTION = {
  NONE: 0,
} as const;
