/**
 * What a domain has, as far as a change of it is concerned: read from its XML (agent/xml/read-facts.ts), the running one's
 * or the definition's. Sizes are bytes. A disk is known by its serial number and a NIC by its MAC address, because target
 * names and addresses move when devices come and go.
 */
import type { DiskLimits } from '../../proto/model/vm.js';
import type { DiskTarget } from './disk-target.js';

export interface DiskFacts {
  readonly serial: string;
  readonly dev: string;
  readonly bus: string;
  readonly device: string;
  /** Undefined: an empty drive. */
  readonly path: string | undefined;
  /** Empty while the domain is off. */
  readonly alias: string;
  readonly address: DiskTarget['address'] | undefined;
  readonly limits: DiskLimits;
}

export interface NicFacts {
  readonly mac: string;
  readonly alias: string;
  /** The tap on the host; empty while the domain is off. */
  readonly tap: string;
}

export interface MemoryFacts {
  readonly model: string;
  readonly alias: string;
  /** Of the device; a virtio-mem device gives the guest only a part of it. */
  readonly sizeBytes: number;
  /** What the guest is to have of it; of a DIMM, all. */
  readonly requestedBytes: number;
  /** What the guest has taken; of a DIMM, all. */
  readonly currentBytes: number;
  readonly blockBytes: number;
}

export interface DomainFacts {
  readonly vcpus: number;
  readonly maxVcpus: number;
  /** Without what was plugged in later. */
  readonly bootMemoryBytes: number;
  /** Undefined: no memory can be plugged in. */
  readonly maxMemoryBytes: number | undefined;
  readonly memory: readonly MemoryFacts[];
  readonly disks: readonly DiskFacts[];
  readonly nics: readonly NicFacts[];
  /** Serial numbers and MAC addresses of the devices that it boots from, in order. */
  readonly bootOrder: readonly string[];
  /** PCIe ports that nothing is plugged into. */
  readonly freePorts: number;
  readonly hasScsi: boolean;
}

export const NO_LIMITS: DiskLimits = { readBytesPerSecond: 0, writeBytesPerSecond: 0, readIops: 0, writeIops: 0 };

export function sameLimits(a: DiskLimits, b: DiskLimits): boolean {
  return (
    a.readBytesPerSecond === b.readBytesPerSecond &&
    a.writeBytesPerSecond === b.writeBytesPerSecond &&
    a.readIops === b.readIops &&
    a.writeIops === b.writeIops
  );
}

/** Memory that the guest is to have now: at boot, and what was plugged in. */
export function memoryOf(facts: DomainFacts): number {
  return facts.memory.reduce((sum, one) => sum + one.requestedBytes, facts.bootMemoryBytes);
}
