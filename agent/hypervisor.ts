import type { Duplex } from 'node:stream';
import type { DomainState } from '../proto/model/host.js';
import type { DiskLimits } from '../proto/model/vm.js';
import type { DiskSwitches } from './xml/snapshot.js';

export type { DiskSwitches };

/**
 * THE FIRST SEAM: what libvirt gives. Names are libvirt's minus `vir`. The real one is made from agent/libvirt
 * (agent/drivers/libvirt-hypervisor.ts), the other is agent/fake. Everything throws OstlerError: HYPERVISOR_UNAVAILABLE when
 * the daemon is away, NOT_FOUND for an unknown UUID, HYPERVISOR_ERROR with libvirt's code and message otherwise.
 * Every call has a deadline of its own.
 */
export interface DomainSummary {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  /** libvirt's name of the reason for the state. */
  readonly reason: string;
  readonly persistent: boolean;
}

export interface DomainInfo {
  readonly state: DomainState;
  /** libvirt's name of the reason for the state. */
  readonly reason: string;
  /** Nanoseconds since the domain started; exact. */
  readonly cpuTimeNs: bigint;
  readonly memoryBytes: number;
  readonly vcpus: number;
}

export interface DomainStats {
  readonly uuid: string;
  readonly state: DomainState;
  /** Nanoseconds since the domain started; exact. */
  readonly cpuTimeNs: bigint;
  readonly vcpus: number;
  readonly balloonBytes: number;
  /** What the guest says it uses; undefined without a balloon driver. */
  readonly memoryUsedBytes: number | undefined;
  readonly residentBytes: number;
  readonly blockReadBytes: number;
  readonly blockWriteBytes: number;
  readonly netReceiveBytes: number;
  readonly netTransmitBytes: number;
}

export type HypervisorEvent =
  | { readonly type: 'connected' }
  | { readonly type: 'disconnected'; readonly reason: string }
  /** libvirt's lifecycle event: `event` and `detail` are its names (`stopped`/`shutdown`, `crashed`/`panicked` …). */
  | {
      readonly type: 'lifecycle';
      readonly uuid: string;
      readonly name: string;
      readonly event: string;
      readonly detail: string;
    }
  | { readonly type: 'reboot'; readonly uuid: string; readonly name: string }
  | { readonly type: 'guest-agent'; readonly uuid: string; readonly name: string; readonly connected: boolean }
  | { readonly type: 'device-removed'; readonly uuid: string; readonly alias: string }
  | { readonly type: 'metadata-changed'; readonly uuid: string }
  /** The reader was too slow and events were lost: list everything anew. */
  | { readonly type: 'overflow' };

export interface StoragePool {
  readonly name: string;
  readonly uuid: string;
  readonly type: string;
  /** Directory of a file pool; empty for pools without one. */
  readonly path: string;
  readonly active: boolean;
  readonly capacityBytes: number;
  readonly availableBytes: number;
}

export interface Picture {
  /** `image/png`, `image/x-portable-pixmap`. */
  readonly mimeType: string;
  readonly data: Buffer;
}

export interface NodeInfo {
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly model: string;
}

/** The kind of guest that a question about the host is about. */
export interface MachineQuery {
  readonly arch: string;
  readonly machine: string;
  readonly virtType: 'kvm' | 'qemu';
}

export interface Hypervisor {
  readonly connected: boolean;
  /** Why it is not connected; empty while it is. */
  readonly disconnectReason: string;

  version(): Promise<{ readonly libvirt: string; readonly hypervisor: string }>;
  nodeInfo(): Promise<NodeInfo>;
  /** XML. */
  capabilities(): Promise<string>;
  domainCapabilities(query: MachineQuery): Promise<string>;
  /** Whether guests of that kind can have the CPU that the XML says, all its features included. */
  canGiveCpu(query: MachineQuery, cpuXml: string): Promise<boolean>;

  listDomains(): Promise<readonly DomainSummary[]>;
  domainState(uuid: string): Promise<{ readonly state: DomainState; readonly reason: string }>;
  /** State, CPU time and size at this moment; it asks no guest and no monitor, so that a frozen QEMU costs nothing. */
  domainInfo(uuid: string): Promise<DomainInfo>;
  /** `inactive`: the persistent definition instead of the running one. */
  domainXml(uuid: string, options?: { inactive?: boolean; secure?: boolean }): Promise<string>;
  defineDomain(xml: string): Promise<{ readonly uuid: string; readonly name: string }>;
  createDomain(uuid: string, options?: { paused?: boolean }): Promise<void>;
  shutdownDomain(uuid: string, mode: 'acpi' | 'agent' | 'default'): Promise<void>;
  rebootDomain(uuid: string, mode: 'acpi' | 'agent' | 'default'): Promise<void>;
  resetDomain(uuid: string): Promise<void>;
  suspendDomain(uuid: string): Promise<void>;
  resumeDomain(uuid: string): Promise<void>;
  destroyDomain(uuid: string, options?: { graceful?: boolean }): Promise<void>;
  /** Writes the memory to a file of libvirt's and ends QEMU; the next createDomain goes on from there. May take minutes. */
  managedSave(uuid: string): Promise<void>;
  hasManagedSave(uuid: string): Promise<boolean>;
  /** Drops the saved memory. */
  removeManagedSave(uuid: string): Promise<void>;
  /** Ends what libvirt is just doing with the domain (a save); the domain runs on. */
  abortJob(uuid: string): Promise<void>;
  injectNmi(uuid: string): Promise<void>;
  /** What the first screen shows now. */
  screenshot(uuid: string): Promise<Picture>;
  /** Whether libvirt starts the domain when the host starts. */
  setAutostart(uuid: string, on: boolean): Promise<void>;
  /** Of a running domain. WRONG_STATE when it is off. */
  setVcpus(uuid: string, vcpus: number): Promise<void>;
  attachDevice(uuid: string, deviceXml: string): Promise<void>;
  /** Asks the guest to let the device go; `device-removed` tells when it has. Asked once already is success. */
  detachDevice(uuid: string, alias: string): Promise<void>;
  /** A device as it is to be, found by what identifies it (target, alias). */
  updateDevice(uuid: string, deviceXml: string): Promise<void>;
  /** All the memory that the guest says it has; undefined without a balloon driver that tells. Some seconds old. */
  guestMemoryBytes(uuid: string): Promise<number | undefined>;
  /** Size that the guest sees of a disk of a running domain, by its target. */
  blockCapacity(uuid: string, dev: string): Promise<number>;
  resizeBlock(uuid: string, dev: string, bytes: number): Promise<void>;
  setBlockLimits(uuid: string, dev: string, limits: DiskLimits): Promise<void>;
  /** With NVRAM, managed save, snapshot and checkpoint metadata: nothing of it stays. */
  undefineDomain(uuid: string): Promise<void>;
  /** The content of one metadata element by its namespace; undefined when there is none. */
  metadata(uuid: string, namespace: string): Promise<string | undefined>;
  setMetadata(
    uuid: string,
    metadata: { namespace: string; prefix: string; xml: string | undefined; live: boolean },
  ): Promise<void>;
  /** All running domains in one call, on a connection of its own; a frozen QEMU costs its own figures only. */
  allDomainStats(options?: { timeoutMs?: number }): Promise<readonly DomainStats[]>;
  interfaceAddresses(
    uuid: string,
    source: 'agent' | 'lease' | 'arp',
  ): Promise<readonly { readonly mac: string; readonly addresses: readonly string[] }[]>;
  guestAgentCommand(uuid: string, command: string, timeoutSeconds: number): Promise<string>;
  /** Bytes of the first serial console, both ways, on a connection of its own. */
  openConsole(uuid: string, options?: { force?: boolean }): Promise<Duplex>;

  /**
   * Puts disks of a running domain on overlays that are there already: all of them or none, without a pause. With
   * `memoryFile` the guest's memory is saved there, of the same moment; the signal cancels that. libvirt keeps no snapshot
   * of its own. GUEST_TIMEOUT when the guest's agent does not quiesce.
   */
  snapshotDomain(uuid: string, switches: DiskSwitches, signal: AbortSignal): Promise<void>;
  /**
   * Begins to write what lies above `base` up to `top` into `base`, while the guest runs on. With `active` the top is the
   * file that the guest writes to: the job becomes ready, and `endBlockJob` with `pivot` ends it.
   */
  commitBlock(uuid: string, dev: string, files: { base: string; top: string; active: boolean }): Promise<void>;
  /** Begins to copy what lies between the guest's file and `base` (undefined: everything) into that file. */
  pullBlock(uuid: string, dev: string, base: string | undefined): Promise<void>;
  /** Undefined: no job is at work on that disk. Bytes. */
  blockJob(uuid: string, dev: string): Promise<{ readonly done: number; readonly total: number } | undefined>;
  /** Returns when it has ended. Without `pivot` it is given up and the chain stays as it was. */
  endBlockJob(uuid: string, dev: string, options: { pivot: boolean }): Promise<void>;
  /** The definition in a file made by `snapshotDomain` with memory. */
  savedDomainXml(file: string): Promise<string>;
  /** Runs a domain on from such a file, with that definition. */
  restoreDomain(file: string, xml: string): Promise<void>;

  listPools(): Promise<readonly StoragePool[]>;
  /** Defines, builds, starts and autostarts a directory pool; one that exists is left as it is and started. */
  ensureDirPool(name: string, path: string): Promise<void>;
  refreshPool(name: string): Promise<void>;

  /** Each call is a subscription with a queue of its own; it ends with the signal. Begins with the present connection state. */
  events(signal: AbortSignal): AsyncIterable<HypervisorEvent>;
  close(): Promise<void>;
}
