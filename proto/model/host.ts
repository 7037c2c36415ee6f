/** What an agent says of its host. Plain types: they come from our own agent, over mTLS, and are checked by `convert`. */
export interface PoolFacts {
  readonly name: string;
  readonly type: string;
  readonly path: string;
  readonly shared: boolean;
  readonly capacityBytes: number;
  readonly availableBytes: number;
  readonly active: boolean;
  /** Identity of the file system: equal on all hosts that see the same files. */
  readonly domain: string;
}

export interface HostFacts {
  readonly hostname: string;
  readonly machineId: string;
  readonly os: string;
  readonly kernel: string;
  readonly arch: string;
  readonly cpuModel: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly libvirtVersion: string;
  readonly qemuVersion: string;
  readonly accelerator: 'kvm' | 'tcg';
  /** Why KVM is not used; empty when it is. */
  readonly acceleratorReason: string;
  readonly cpuModels: readonly string[];
  readonly bridges: readonly string[];
  readonly pools: readonly PoolFacts[];
  readonly defaultPool: string;
  readonly defaultBridge: string;
  readonly agentVersion: string;
  readonly uefi: boolean;
}

export type DomainState = 'running' | 'paused' | 'shutdown' | 'shutoff' | 'crashed' | 'gone';

export const EXIT_CAUSES = [
  /** The guest powered itself off, nobody asked it to. */
  'guest-shutdown',
  /** We asked the guest to power off, and it did. */
  'requested-shutdown',
  /** We ended QEMU. */
  'requested-destroy',
  /** Somebody else ended QEMU through libvirt (virsh destroy). */
  'destroyed',
  /** The host told QEMU to end (SIGTERM: a host that shuts down). */
  'host-shutdown',
  /** The guest's kernel panicked and said so. */
  'guest-crash',
  /** QEMU died: killed, out of memory, a bug. */
  'qemu-crash',
  /** It runs on another host now. */
  'migrated',
  /** Its memory was written to disk, or it went back to a snapshot. */
  'saved',
  'unknown',
] as const;
export type ExitCause = (typeof EXIT_CAUSES)[number];

export interface DomainReport {
  readonly uuid: string;
  readonly name: string;
  readonly state: DomainState;
  /** libvirt's name of the reason (`booted`, `destroyed`, `failed` …). */
  readonly reason: string;
  readonly managed: boolean;
  readonly vmId: string;
  readonly epoch: number;
  readonly guestAgentConnected: boolean;
  readonly addresses: readonly string[];
  readonly consoleAvailable: boolean;
  /** Of a domain that is off: why, told from libvirt's events. Absent: it is not off, or its agent does not tell. */
  readonly exitCause?: ExitCause;
}
