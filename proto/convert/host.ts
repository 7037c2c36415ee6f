import type { ostler } from '../gen/ostler.js';
import { EXIT_CAUSES, type ExitCause } from '../model/host.js';
import type { DomainReport, HostFacts } from '../model/host.js';
import { DOMAIN_STATES, enumFromWire, enumToWire } from './enums.js';

export function hostFactsToWire(facts: HostFacts): ostler.v1.HostFacts.$Properties {
  return {
    ...facts,
    cpuModels: [...facts.cpuModels],
    bridges: [...facts.bridges],
    pools: facts.pools.map((pool) => ({ ...pool })),
  };
}

export function hostFactsFromWire(wire: ostler.v1.HostFacts.$Properties): HostFacts {
  return {
    hostname: wire.hostname ?? '',
    machineId: wire.machineId ?? '',
    os: wire.os ?? '',
    kernel: wire.kernel ?? '',
    arch: wire.arch ?? '',
    cpuModel: wire.cpuModel ?? '',
    cpus: wire.cpus ?? 0,
    memoryBytes: wire.memoryBytes ?? 0,
    libvirtVersion: wire.libvirtVersion ?? '',
    qemuVersion: wire.qemuVersion ?? '',
    accelerator: wire.accelerator === 'kvm' ? 'kvm' : 'tcg',
    acceleratorReason: wire.acceleratorReason ?? '',
    cpuModels: [...(wire.cpuModels ?? [])],
    bridges: [...(wire.bridges ?? [])],
    pools: (wire.pools ?? []).map((pool) => ({
      name: pool.name ?? '',
      type: pool.type ?? '',
      path: pool.path ?? '',
      shared: pool.shared ?? false,
      capacityBytes: pool.capacityBytes ?? 0,
      availableBytes: pool.availableBytes ?? 0,
      active: pool.active ?? false,
      domain: pool.domain ?? '',
    })),
    defaultPool: wire.defaultPool ?? '',
    defaultBridge: wire.defaultBridge ?? '',
    agentVersion: wire.agentVersion ?? '',
    uefi: wire.uefi ?? false,
  };
}

export function domainReportToWire(report: DomainReport): ostler.v1.DomainReport.$Properties {
  return { ...report, state: enumToWire(DOMAIN_STATES, report.state), addresses: [...report.addresses] };
}

export function domainReportFromWire(wire: ostler.v1.DomainReport.$Properties): DomainReport {
  return {
    uuid: wire.uuid ?? '',
    name: wire.name ?? '',
    state: enumFromWire(DOMAIN_STATES, wire.state, 'domain.state') ?? 'gone',
    reason: wire.reason ?? '',
    managed: wire.managed ?? false,
    vmId: wire.vmId ?? '',
    epoch: wire.epoch ?? 0,
    guestAgentConnected: wire.guestAgentConnected ?? false,
    addresses: [...(wire.addresses ?? [])],
    consoleAvailable: wire.consoleAvailable ?? false,
    ...exitCauseFrom(wire.exitCause ?? ''),
  };
}

/** A word of a newer agent says as much as none. */
function exitCauseFrom(word: string): { exitCause?: ExitCause } {
  const exitCause = EXIT_CAUSES.find((one) => one === word);
  return exitCause === undefined ? {} : { exitCause };
}
