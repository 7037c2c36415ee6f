/**
 * THE SEAM of the controller: what the engine and the API need of the world. Real: agents/registry.ts and engine/*.ts;
 * in the simulator: the same engine on a virtual clock with simulated hosts.
 */
import type { Duplex } from 'node:stream';
import type { OperationArgs, OperationDoc, PlacementDoc, VmDoc } from '../core/model.js';
import type { CommandOutcome } from '../core/operations/machine.js';
import type { VmStateName } from '../core/vm-state.js';
import type { DomainReport, HostFacts } from '../../proto/model/host.js';
import type { ErrorInfo } from '../core/error-info.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { HostVolume } from '../../proto/model/volume.js';
import type { SnapshotList } from '../../proto/model/snapshot.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { Stored } from '../store/store.js';
import type { ostler } from '../../proto/gen/ostler.js';

/** What is known of a host now; volatile, from its link. */
export interface HostView {
  readonly hostId: string;
  readonly online: boolean;
  /** Why it is not online, to be read after its name (`does not answer since …`); empty when it is. */
  readonly reason: string;
  /** Milliseconds since 1970 since when it is online or silent. */
  readonly since: number;
  /** Number of the link, one per connection: a command is sent again over every new one. 0: never linked. */
  readonly link: number;
  readonly hypervisorConnected: boolean;
  readonly hypervisorReason: string;
  /** Monotonic milliseconds of the last heartbeat received. */
  readonly lastHeartbeat: number;
  readonly facts: HostFacts | undefined;
  /** By UUID. Undefined until the first inventory arrived; after that the last that is known, also while silent. */
  readonly domains: ReadonlyMap<string, DomainReport> | undefined;
  /** When the last full inventory came, milliseconds since 1970: only that proves that a domain is not there. 0: never. */
  readonly inventoryTime: number;
  readonly usage: ostler.v1.HostUsage.$Properties | undefined;
  readonly vmUsage: ReadonlyMap<string, ostler.v1.VmUsage.$Properties>;
}

export interface LiveState {
  readonly domainState: string;
  readonly domainReason: string;
  readonly cpuTimeNs: number;
  readonly memoryBytes: number;
  readonly vcpus: number;
}

/** From what a VM was asked to be until now to what it is to be. */
export interface RecordChange {
  readonly previous: VmRecord;
  readonly record: VmRecord;
  readonly images: readonly ImageRef[];
  readonly deleteVolumes: boolean;
}

/** What an agent would do about it; with refusals it would do nothing. */
export interface RecordPlan {
  readonly changes: readonly ostler.v1.SpecChange.$Properties[];
  readonly refusals: readonly ErrorInfo[];
}

export interface CommandProgress {
  readonly percent: number;
  readonly detail: string;
}

export interface AgentsListener {
  /** Repeated by the agent until it is acknowledged. */
  onResult(hostId: string, commandId: string, outcome: CommandOutcome): void;
  onProgress(hostId: string, commandId: string, progress: CommandProgress): void;
  /** Something in the host's view changed: online, hypervisor, facts, domains. */
  onChange(hostId: string): void;
}

/** The connected agents. Throws HOST_UNREACHABLE (with the host and since when) when there is none. */
export interface Agents {
  view(hostId: string): HostView | undefined;
  views(): Iterable<HostView>;
  /** Sends or re-sends a command; the result arrives by `onResult`. Safe to repeat: the agent knows the id. */
  send(hostId: string, command: ostler.v1.Command.$Properties): void;
  cancel(hostId: string, commandId: string): void;
  /** The result is stored: the agent may forget it. */
  acknowledge(hostId: string, commandId: string): void;
  /** Returns how to stop. Listeners are called in the order in which the messages came and must not throw. */
  subscribe(listener: AgentsListener): () => void;
  inspect(hostId: string, vmUuid: string, signal: AbortSignal): Promise<LiveState>;
  planRecord(hostId: string, change: RecordChange, signal: AbortSignal): Promise<RecordPlan>;
  listRecords(
    hostId: string,
    signal: AbortSignal,
  ): Promise<{
    readonly records: readonly VmRecord[];
    readonly unreadable: Readonly<Record<string, string>>;
    readonly domains: readonly DomainReport[];
  }>;
  listSnapshots(hostId: string, record: VmRecord, signal: AbortSignal): Promise<SnapshotList>;
  /** Volumes in the host's pools that are no VM's own. */
  listVolumes(hostId: string, signal: AbortSignal): Promise<readonly HostVolume[]>;
  /** Bytes of a console through the agent's dial-out. `history` resolves with what the serial console printed before. */
  openTunnel(hostId: string, vmUuid: string, kind: 'serial' | 'vnc', signal: AbortSignal): Promise<Duplex>;
  /** A PNG of what the VM's screen shows now. */
  screenshot(hostId: string, vmUuid: string, signal: AbortSignal): Promise<Uint8Array>;
  /** Ends the link of a host that was deleted or re-joined. */
  disconnect(hostId: string, reason: string): void;
}

export interface SubmitRequest {
  /** VM or image id. */
  readonly target: string;
  readonly args: OperationArgs;
  readonly requestId: string;
  readonly requestHash: string;
  readonly actor: string;
  /** Empty: any. */
  readonly etag: string;
  readonly validateOnly: boolean;
}

export interface SubmitResult {
  readonly operation: OperationDoc;
  readonly placement: PlacementDoc | undefined;
  /** Sentences; for validate_only. */
  readonly plan: readonly string[];
}

/** Takes work in. Everything that can be refused is refused here, with nothing written. */
export interface Operations {
  /**
   * Stores the operation and takes hold of its target in one commit. The same request_id again answers with the first
   * operation. Refusals: NOT_FOUND, WRONG_STATE, OPERATION_RUNNING (names it), STALE_ETAG, REQUEST_ID_REUSED,
   * ALREADY_EXISTS (name taken), NO_CAPACITY (host → reason), HOST_UNREACHABLE.
   */
  submit(request: SubmitRequest): Promise<SubmitResult>;
  cancel(operationId: string, actor: string): Promise<OperationDoc>;
  /** Resolves at the end of the operation, at its first change (`untilChange`), or when the time is over. */
  wait(
    operationId: string,
    options: { timeoutMs: number; untilChange: boolean; signal: AbortSignal },
  ): Promise<OperationDoc>;
  /** The operation as people see it: with the progress that its command has reported, which is not stored. */
  present(operation: OperationDoc): OperationDoc;
  /** The state shown to people: settled, working or unknown, with its reason. */
  vmState(vm: Stored<VmDoc>): { readonly state: VmStateName; readonly reason: string };
}

export type { VmStateName } from '../core/vm-state.js';

export interface EventRecord {
  readonly id: string;
  /** Grows; the resume token is made of it. */
  readonly sequence: number;
  readonly time: number;
  readonly kind: string;
  readonly target: string;
  readonly targetName: string;
  readonly host: string;
  readonly actor: string;
  readonly message: string;
  readonly operation: string;
  readonly metadata: Readonly<Record<string, string>>;
}

/** What is appended. With a `key`, an event whose key is in the log already is not appended again. */
export type NewEvent = Omit<EventRecord, 'id' | 'sequence' | 'time'> & {
  readonly time?: number;
  readonly key?: string;
};

/** Append-only and durable; old events are dropped by number. */
export interface EventLog {
  /** Resolves when the event is on disk and readers can see it. */
  append(event: NewEvent): Promise<void>;
  /** Newest first, before `beforeSequence` (0: from the end). */
  list(options: {
    beforeSequence: number;
    limit: number;
    matches: (event: EventRecord) => boolean;
  }): readonly EventRecord[];
  /** After `sequence` (undefined: from now), then live. BAD_TOKEN when that place is gone. */
  watch(afterSequence: number | undefined, signal: AbortSignal): AsyncIterable<EventRecord>;
}
