/**
 * What an operation's state machine is: a table of steps and pure functions over them. The runner (advance.ts) does what is
 * the same for all of them: steps' records, retries, cancelling, events.
 */
import type { ErrorInfo } from '../error-info.js';
import type { OperationArgs, OperationDoc, PlacementDoc, VmDoc } from '../model.js';
import type { ClusterView } from '../view.js';
import type { DomainReport } from '../../../proto/model/host.js';
import type { ImageRef } from '../../../proto/model/image.js';
import type { SnapshotChanges, SnapshotWish } from '../../../proto/model/snapshot.js';
import type { VmRecord } from '../../../proto/model/vm.js';

/** What an agent answered to a command. */
export type CommandOutcome =
  | {
      readonly ok: true;
      readonly domain: DomainReport | undefined;
      readonly facts: Readonly<Record<string, string>>;
    }
  | { readonly ok: false; readonly error: ErrorInfo; readonly domain: DomainReport | undefined };

/** The commands of the link, as plain data. */
export type CommandBody =
  | {
      readonly kind: 'provision';
      readonly record: VmRecord;
      readonly images: readonly ImageRef[];
      readonly source?: { readonly record: VmRecord; readonly snapshot: string };
    }
  | { readonly kind: 'start'; readonly record: VmRecord; readonly images: readonly ImageRef[] }
  | {
      readonly kind: 'shutdown';
      readonly force: boolean;
      readonly timeoutSeconds: number;
      readonly onTimeout: 'keep-running' | 'force-off';
    }
  | { readonly kind: 'reboot'; readonly force: boolean }
  | { readonly kind: 'expunge'; readonly record: VmRecord }
  | { readonly kind: 'set-record'; readonly record: VmRecord }
  | { readonly kind: 'forget-image'; readonly imageId: string }
  | {
      readonly kind: 'apply';
      readonly previous: VmRecord;
      readonly record: VmRecord;
      readonly images: readonly ImageRef[];
      readonly deleteVolumes: boolean;
    }
  | {
      readonly kind: 'snapshot-create';
      readonly record: VmRecord;
      readonly wish: SnapshotWish;
      readonly limit: number;
      readonly waitSeconds: number;
    }
  | { readonly kind: 'snapshot-revert'; readonly record: VmRecord; readonly snapshot: string }
  | { readonly kind: 'snapshot-delete'; readonly record: VmRecord; readonly snapshot: string }
  | {
      readonly kind: 'snapshot-update';
      readonly record: VmRecord;
      readonly snapshot: string;
      readonly changes: SnapshotChanges;
    }
  | { readonly kind: 'snapshot-flatten'; readonly record: VmRecord; readonly disks: readonly string[] }
  | { readonly kind: 'pause' | 'resume' | 'suspend' | 'send-nmi' }
  | { readonly kind: 'rebuild-root'; readonly record: VmRecord; readonly images: readonly ImageRef[] };

export interface StepRule {
  /** One sentence: what the step does. */
  readonly does: string;
  /** Percent of the operation that are behind when the step begins. */
  readonly from: number;
  /** The step takes back what an earlier one did: the operation is then `undoing`. */
  readonly undoes?: true;
}

/** What a machine sees when it decides. `vm` is undefined for operations on images. */
export interface Moment<A extends OperationArgs, V extends VmDoc | undefined> {
  readonly op: OperationDoc;
  readonly args: A;
  readonly vm: V;
  readonly view: ClusterView;
  readonly now: number;
}

export type Next<S extends string, V> =
  | {
      readonly next: 'command';
      readonly step: S;
      readonly hostId: string;
      readonly vm: V;
      readonly detail: string;
      readonly placement?: PlacementDoc;
      /** Why the operation goes backwards from here; kept as its failure. */
      readonly error?: ErrorInfo;
    }
  | {
      readonly next: 'done';
      readonly state: 'succeeded' | 'failed' | 'cancelled';
      readonly vm: V;
      readonly detail: string;
      readonly placement?: PlacementDoc;
      readonly error?: ErrorInfo;
      /** Kind of the event that tells of it; default: by kind and state of the operation. */
      readonly event?: string;
    };

export interface Machine<A extends OperationArgs, S extends string, V extends VmDoc | undefined> {
  readonly steps: Readonly<Record<S, StepRule>>;
  /** The first step. `done` and `failed` here refuses the request: nothing is stored. */
  begin(moment: Moment<A, V>): Next<S, V>;
  /** What follows when the step's command was answered. */
  answered(step: S, outcome: CommandOutcome, moment: Moment<A, V>): Next<S, V>;
  /** The command of a step; the same for the same documents, so that it can be sent again. */
  command(step: S, moment: Moment<A, V>): CommandBody;
}

export type VmMachine<K extends OperationArgs['kind'], S extends string> = Machine<
  Extract<OperationArgs, { kind: K }>,
  S,
  VmDoc
>;

export const CANCELLED: ErrorInfo = { code: 'CANCELLED', message: 'The operation was cancelled.' };

/** The end of an operation that its error ends, with the VM as it is. */
export function failure<V>(error: ErrorInfo, vm: V): Next<never, V> {
  return { next: 'done', state: endState(error), error, vm, detail: error.message };
}

export function endState(error: ErrorInfo): 'failed' | 'cancelled' {
  return error.code === 'CANCELLED' ? 'cancelled' : 'failed';
}

/** References of the images that the record's disks come from; an image that is gone is left out. */
export function imageRefs(record: VmRecord, view: ClusterView): ImageRef[] {
  const ids = [...new Set(record.spec.disks.map((disk) => disk.image).filter((id) => id !== ''))];
  return ids.flatMap((id) => {
    const image = view.image(id);
    if (image === undefined) return [];
    const { format, fileBytes, virtualSizeBytes, sha256 } = image;
    return [{ id, format, fileBytes, virtualSizeBytes, sha256 }];
  });
}

/** Name of a host for people; its id when the record is gone. */
export function hostName(view: ClusterView, hostId: string): string {
  return view.host(hostId)?.name ?? hostId;
}
