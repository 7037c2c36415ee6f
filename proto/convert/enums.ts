import { ostler } from '../gen/ostler.js';
import { invalidField } from '../kit/errors.js';

const { v1 } = ostler;

/** One vocabulary in both forms: our word → the wire's number. 0 is "not given" everywhere. */
export type EnumTable<W extends string> = Readonly<Record<W, number>>;

export const OS_TYPES = { linux: v1.OsType.LINUX, windows: v1.OsType.WINDOWS, other: v1.OsType.OTHER } as const;
export const FIRMWARES = { bios: v1.Firmware.BIOS, uefi: v1.Firmware.UEFI } as const;
export const DISK_BUSES = { virtio: v1.DiskBus.VIRTIO, scsi: v1.DiskBus.SCSI, sata: v1.DiskBus.SATA } as const;
export const DISK_DEVICES = { disk: v1.DiskDevice.DISK, cdrom: v1.DiskDevice.CDROM } as const;
export const CLONE_MODES = { overlay: v1.CloneMode.OVERLAY, full: v1.CloneMode.FULL } as const;
export const NIC_MODELS = { virtio: v1.NicModel.NIC_VIRTIO, e1000e: v1.NicModel.E1000E } as const;
export const TIMEOUT_ACTIONS = {
  'keep-running': v1.TimeoutAction.KEEP_RUNNING,
  'force-off': v1.TimeoutAction.FORCE_OFF,
} as const;
export const CHANGE_TIMES = { now: v1.ChangeTime.NOW, 'next-start': v1.ChangeTime.NEXT_START } as const;
export const SCRIPT_STAGES = {
  'pre-network': v1.ScriptStage.PRE_NETWORK,
  boot: v1.ScriptStage.BOOT,
  final: v1.ScriptStage.FINAL,
} as const;
export const IMAGE_FORMATS = { qcow2: v1.ImageFormat.QCOW2, raw: v1.ImageFormat.RAW, iso: v1.ImageFormat.ISO } as const;
export const IMAGE_STATES = {
  uploading: v1.ImageState.UPLOADING,
  ready: v1.ImageState.READY,
  error: v1.ImageState.IMAGE_ERROR,
} as const;
export const ROLES = { viewer: v1.Role.VIEWER, operator: v1.Role.OPERATOR, admin: v1.Role.ADMIN } as const;
export const CONSOLE_KINDS = { serial: v1.ConsoleKind.SERIAL, vnc: v1.ConsoleKind.VNC } as const;
export const OPERATION_STATES = {
  pending: v1.OperationState.PENDING,
  running: v1.OperationState.OPERATION_RUNNING,
  undoing: v1.OperationState.UNDOING,
  succeeded: v1.OperationState.SUCCEEDED,
  failed: v1.OperationState.FAILED,
  cancelled: v1.OperationState.CANCELLED,
} as const;
export const DOMAIN_STATES = {
  running: v1.DomainState.DOMAIN_RUNNING,
  paused: v1.DomainState.DOMAIN_PAUSED,
  shutdown: v1.DomainState.DOMAIN_SHUTDOWN,
  shutoff: v1.DomainState.DOMAIN_SHUTOFF,
  crashed: v1.DomainState.DOMAIN_CRASHED,
  gone: v1.DomainState.DOMAIN_GONE,
} as const;

export const SNAPSHOT_STATES = {
  creating: v1.SnapshotState.SNAPSHOT_CREATING,
  ready: v1.SnapshotState.SNAPSHOT_READY,
  deleting: v1.SnapshotState.SNAPSHOT_DELETING,
} as const;

export function enumToWire<T extends Readonly<Record<string, number>>, W extends keyof T>(table: T, word: W): T[W] {
  return table[word];
}

/** Undefined when not given; INVALID_FIELD for a number that this version does not know. */
export function enumFromWire<W extends string>(
  table: EnumTable<W>,
  value: number | null | undefined,
  field: string,
): W | undefined {
  if (value === null || value === undefined || value === 0) return undefined;
  for (const word of Object.keys(table) as W[]) if (table[word] === value) return word;
  throw invalidField(
    field,
    `has a value that this version does not know (${value})`,
    `Use one of: ${Object.keys(table).join(', ')}.`,
  );
}
