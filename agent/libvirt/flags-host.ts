/** Flags and values of storage, networks, node devices and secrets. See flags.ts. */

/** VIR_CONNECT_LIST_STORAGE_POOLS_ */
export const LIST_STORAGE_POOLS = {
  INACTIVE: 1 << 0,
  ACTIVE: 1 << 1,
  PERSISTENT: 1 << 2,
  TRANSIENT: 1 << 3,
  AUTOSTART: 1 << 4,
  NO_AUTOSTART: 1 << 5,
  DIR: 1 << 6,
  FS: 1 << 7,
  NETFS: 1 << 8,
  LOGICAL: 1 << 9,
  DISK: 1 << 10,
  ISCSI: 1 << 11,
  SCSI: 1 << 12,
  MPATH: 1 << 13,
  RBD: 1 << 14,
  SHEEPDOG: 1 << 15,
  GLUSTER: 1 << 16,
  ZFS: 1 << 17,
  VSTORAGE: 1 << 18,
  ISCSI_DIRECT: 1 << 19,
} as const;

/** VIR_STORAGE_POOL_ */
export const POOL_STATE = {
  INACTIVE: 0,
  BUILDING: 1,
  RUNNING: 2,
  DEGRADED: 3,
  INACCESSIBLE: 4,
} as const;

/** VIR_STORAGE_POOL_CREATE_ */
export const POOL_CREATE = {
  NORMAL: 0,
  WITH_BUILD: 1 << 0,
  WITH_BUILD_OVERWRITE: 1 << 1,
  WITH_BUILD_NO_OVERWRITE: 1 << 2,
} as const;

/** VIR_STORAGE_POOL_BUILD_ */
export const POOL_BUILD = {
  NEW: 0,
  REPAIR: 1 << 0,
  RESIZE: 1 << 1,
  NO_OVERWRITE: 1 << 2,
  OVERWRITE: 1 << 3,
} as const;

/** VIR_STORAGE_POOL_DELETE_ */
export const POOL_DELETE = {
  NORMAL: 0,
  ZEROED: 1 << 0,
} as const;

/** VIR_STORAGE_VOL_ */
export const VOL_TYPE = {
  FILE: 0,
  BLOCK: 1,
  DIR: 2,
  NETWORK: 3,
  NETDIR: 4,
  PLOOP: 5,
} as const;

/** VIR_STORAGE_VOL_ */
export const VOL_INFO = {
  USE_ALLOCATION: 0,
  GET_PHYSICAL: 1 << 0,
} as const;

/** VIR_STORAGE_VOL_CREATE_ */
export const VOL_CREATE = {
  PREALLOC_METADATA: 1 << 0,
  REFLINK: 1 << 1,
  VALIDATE: 1 << 2,
} as const;

/** VIR_STORAGE_VOL_RESIZE_ */
export const VOL_RESIZE = {
  ALLOCATE: 1 << 0,
  DELTA: 1 << 1,
  SHRINK: 1 << 2,
} as const;

/** VIR_STORAGE_VOL_DELETE_ */
export const VOL_DELETE = {
  NORMAL: 0,
  ZEROED: 1 << 0,
  WITH_SNAPSHOTS: 1 << 1,
} as const;

/** VIR_STORAGE_POOL_EVENT_ */
export const POOL_EVENT = {
  DEFINED: 0,
  UNDEFINED: 1,
  STARTED: 2,
  STOPPED: 3,
  CREATED: 4,
  DELETED: 5,
} as const;

/** VIR_CONNECT_LIST_NETWORKS_ */
export const LIST_NETWORKS = {
  INACTIVE: 1 << 0,
  ACTIVE: 1 << 1,
  PERSISTENT: 1 << 2,
  TRANSIENT: 1 << 3,
  AUTOSTART: 1 << 4,
  NO_AUTOSTART: 1 << 5,
} as const;

/** VIR_NETWORK_UPDATE_COMMAND_ */
export const NETWORK_UPDATE_COMMAND = {
  NONE: 0,
  MODIFY: 1,
  DELETE: 2,
  ADD_FIRST: 4,
} as const;

/** VIR_NETWORK_UPDATE_AFFECT_ */
export const NETWORK_UPDATE = {
  CURRENT: 0,
  LIVE: 1 << 0,
  CONFIG: 1 << 1,
} as const;

/** VIR_NETWORK_EVENT_ */
export const NETWORK_EVENT = {
  DEFINED: 0,
  UNDEFINED: 1,
  STARTED: 2,
  STOPPED: 3,
} as const;

/** VIR_CONNECT_LIST_NODE_DEVICES_CAP_ */
export const LIST_NODE_DEVICES = {
  SYSTEM: 1 << 0,
  PCI_DEV: 1 << 1,
  USB_DEV: 1 << 2,
  USB_INTERFACE: 1 << 3,
  NET: 1 << 4,
  SCSI_HOST: 1 << 5,
  SCSI_TARGET: 1 << 6,
  SCSI: 1 << 7,
  STORAGE: 1 << 8,
  FC_HOST: 1 << 9,
  VPORTS: 1 << 10,
  SCSI_GENERIC: 1 << 11,
  DRM: 1 << 12,
  MDEV_TYPES: 1 << 13,
  MDEV: 1 << 14,
  CCW_DEV: 1 << 15,
  CSS_DEV: 1 << 16,
  VDPA: 1 << 17,
  AP_CARD: 1 << 18,
  AP_QUEUE: 1 << 19,
  AP_MATRIX: 1 << 20,
  VPD: 1 << 21,
} as const;

/** VIR_NODE_DEVICE_EVENT_ */
export const NODE_DEVICE_EVENT = {
  CREATED: 0,
  DELETED: 1,
  DEFINED: 2,
  UNDEFINED: 3,
} as const;

/** VIR_SECRET_USAGE_TYPE_ */
export const SECRET_USAGE = {
  NONE: 0,
  VOLUME: 1,
  CEPH: 2,
  ISCSI: 3,
  TLS: 4,
  VTPM: 5,
} as const;
