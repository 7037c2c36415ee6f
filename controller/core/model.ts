/**
 * The controller's documents and vocabulary. Glossary: an *assignment* is (hostId, epoch) in a VM's document: whoever wants
 * the VM to run somewhere else raises the epoch in the same write. An *operation* is long-running work on one target; it
 * holds the target by `operationId`, so that two of them never work on the same VM. Times are milliseconds since 1970 (UTC).
 */
import type { ErrorInfo } from './error-info.js';
import type { HostFacts } from '../../proto/model/host.js';
import type { ImageDefaults, ImageFormat } from '../../proto/model/image.js';
import type { SnapshotChanges, SnapshotWish } from '../../proto/model/snapshot.js';
import type { VmRecord, VmSpec } from '../../proto/model/vm.js';

/** What a VM was last known to be. Working states are not stored: they follow from the running operation (see view). */
export type SettledState =
  'creating' | 'created' | 'running' | 'stopped' | 'paused' | 'suspended' | 'destroyed' | 'expunged' | 'error';

export interface VmDoc {
  readonly record: VmRecord;
  /** Empty: not placed. */
  readonly hostId: string;
  readonly settled: SettledState;
  /** Why, when it is not self-evident; shown to people. */
  readonly stateReason: string;
  /** The operation that holds the VM; empty: none. */
  readonly operationId: string;
  readonly updateTime: number;
  /** When a destroyed VM's disks are removed; 0: not destroyed. */
  readonly purgeTime: number;
}

export type OperationKind = OperationArgs['kind'];
export type OperationState = 'pending' | 'running' | 'undoing' | 'succeeded' | 'failed' | 'cancelled';

export interface StepDoc {
  readonly name: string;
  readonly state: OperationState;
  readonly detail: string;
  readonly startTime: number;
  /** 0: not ended. */
  readonly endTime: number;
}

export interface PlacementDoc {
  readonly hostId: string;
  readonly score: number;
  /** Host name → reason. */
  readonly rejected: Readonly<Record<string, string>>;
}

/** What was asked, by kind; complete and parsed. */
export type OperationArgs =
  /** `source`: the disks are copied from there. */
  | { readonly kind: 'vm.create'; readonly record: VmRecord; readonly start: boolean; readonly source?: SnapshotSource }
  | { readonly kind: 'vm.start' }
  | {
      readonly kind: 'vm.stop';
      readonly force: boolean;
      readonly timeoutSeconds: number;
      readonly onTimeout: 'keep-running' | 'force-off';
    }
  | { readonly kind: 'vm.reboot'; readonly force: boolean }
  | { readonly kind: 'vm.delete'; readonly force: boolean }
  | { readonly kind: 'vm.expunge'; readonly force: boolean }
  | { readonly kind: 'vm.update'; readonly changes: VmChanges }
  | { readonly kind: 'vm.undelete' }
  | { readonly kind: 'snapshot.create'; readonly wish: SnapshotWish }
  /** `name`: for people. `memory`: the VM runs afterwards. */
  | { readonly kind: 'snapshot.revert'; readonly snapshot: string; readonly name: string; readonly memory: boolean }
  | { readonly kind: 'snapshot.delete'; readonly snapshot: string; readonly name: string }
  | {
      readonly kind: 'snapshot.update';
      readonly snapshot: string;
      readonly name: string;
      readonly changes: SnapshotChanges;
    }
  | { readonly kind: 'snapshot.flatten'; readonly disks: readonly string[] }
  | { readonly kind: 'vm.pause' }
  | { readonly kind: 'vm.resume' }
  | { readonly kind: 'vm.suspend' }
  | { readonly kind: 'vm.nmi' }
  /** The record with the image that the root disk is made from. */
  | { readonly kind: 'vm.rebuild'; readonly spec: VmSpec }
  | { readonly kind: 'image.delete' };

/** A snapshot that a new VM is made from. */
export interface SnapshotSource {
  /** The VM that has it, as it was when it was asked for, and its host. */
  readonly record: VmRecord;
  readonly hostId: string;
  readonly snapshot: string;
  /** Of the snapshot, for people. */
  readonly name: string;
}

/** What may change in a VM that has its disks; an absent field stays as it is. */
export interface VmChanges {
  /** The whole spec as it is to be. */
  readonly spec?: VmSpec;
  /** Of disks that the spec does not have any more. */
  readonly deleteVolumes?: boolean;
  readonly name?: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly autostart?: boolean;
  readonly deleteProtection?: boolean;
}

/**
 * Where an operation's state machine stands. While `waiting` is `command`, the command `${operation}/${step}/${attempt}` may
 * be at work on host `hostId`, and the operation may not end before its result is here.
 */
export interface Cursor {
  /** Name of the step at work; empty: before the first one or after the last. */
  readonly step: string;
  /** From 1; another attempt is another command id, which the agent runs anew. */
  readonly attempt: number;
  readonly hostId: string;
  readonly waiting: '' | 'command' | 'retry';
  /** When the next attempt may be made (`retry`); else 0. */
  readonly notBefore: number;
}

/** An event on its way to the log. The same `key` is logged once, so that it can be repeated after a crash. */
export interface EventDraft {
  readonly key: string;
  readonly time: number;
  readonly kind: string;
  readonly target: string;
  readonly targetName: string;
  /** Name of the host, empty: none. */
  readonly host: string;
  readonly actor: string;
  readonly message: string;
  readonly operation: string;
  readonly metadata: Readonly<Record<string, string>>;
}

export interface OperationDoc {
  readonly id: string;
  readonly kind: OperationKind;
  readonly args: OperationArgs;
  readonly target: string;
  readonly targetName: string;
  readonly state: OperationState;
  readonly percent: number;
  readonly detail: string;
  readonly steps: readonly StepDoc[];
  /** The failure; also while undoing. */
  readonly error: ErrorInfo | undefined;
  readonly cancelRequested: boolean;
  readonly createdBy: string;
  readonly requestId: string;
  /** Hash of the request: the same request_id with another request is refused. */
  readonly requestHash: string;
  readonly createTime: number;
  readonly endTime: number;
  readonly placement: PlacementDoc | undefined;
  readonly cursor: Cursor;
  /** Events of the last transition: committed with it, appended to the log after it, repeated there after a crash. */
  readonly outbox: readonly EventDraft[];
}

export interface JoinSecretDoc {
  /** SHA-256 of the secret, hexadecimal. */
  readonly hash: string;
  readonly expireTime: number;
}

export interface HostDoc {
  readonly id: string;
  readonly name: string;
  readonly tags: readonly string[];
  readonly schedulable: boolean;
  readonly createTime: number;
  /** At most one; removed when it is spent. */
  readonly joinSecret: JoinSecretDoc | undefined;
  /** Serial number of the one certificate that may speak for this host; empty: not joined. */
  readonly certificateSerial: string;
  readonly certificateExpireTime: number;
  /** Issued by a renewal, not yet seen in use; its first use ends the old one, so that an answer that got lost locks nobody out. */
  readonly nextCertificate?: { readonly serial: string; readonly expireTime: number };
  /** Last facts heard: placement needs them before the agent is back after a controller restart. */
  readonly facts: HostFacts | undefined;
  readonly seenTime: number;
  /** Newest agent event that was taken in; the link resumes after it. */
  readonly eventSequence: number;
}

export interface ImageDoc {
  readonly id: string;
  readonly name: string;
  readonly displayName: string;
  readonly description: string;
  readonly format: ImageFormat;
  readonly osType: 'linux' | 'windows' | 'other';
  readonly state: 'uploading' | 'ready' | 'error';
  readonly stateReason: string;
  readonly fileBytes: number;
  readonly virtualSizeBytes: number;
  readonly sha256: string;
  readonly requestId: string;
  readonly createTime: number;
  readonly defaults?: ImageDefaults;
}

export type Role = 'viewer' | 'operator' | 'admin';

export interface TokenDoc {
  readonly name: string;
  readonly role: Role;
  /** SHA-256 of the secret, hexadecimal. */
  readonly hash: string;
  readonly createTime: number;
  /** 0: no end. */
  readonly expireTime: number;
}

/** Kinds of documents and their types: one union for the store. */
export interface Documents {
  vm: VmDoc;
  operation: OperationDoc;
  host: HostDoc;
  image: ImageDoc;
  token: TokenDoc;
}
export type DocumentKind = keyof Documents;
