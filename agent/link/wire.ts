import { domainReportToWire, hostFactsToWire } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { HostFacts } from '../../proto/model/host.js';
import { toWireTime } from '../../proto/time.js';
import type { MetricsSample } from '../drivers/metrics.js';
import type { Inventory } from '../drivers/observe.js';

export { domainReportToWire, hostFactsToWire };

export function inventoryToWire(inventory: Inventory): ostler.v1.DomainInventory.$Properties {
  return { hypervisorConnected: inventory.connected, domains: inventory.domains.map(domainReportToWire) };
}

export function metricsToWire(sample: MetricsSample): ostler.v1.MetricsBatch.$Properties {
  const sampleTime = toWireTime(sample.time);
  const vms = [...sample.vms].map(([uuid, vm]) => [uuid, { ...vm, sampleTime }] as const);
  return { host: { ...sample.host, sampleTime }, vms: Object.fromEntries(vms) };
}

/** What Hello says; the host's name is the certificate's. */
export interface HelloData {
  readonly host: string;
  readonly instanceId: string;
  readonly bootId: string;
  readonly facts: HostFacts;
  readonly inventory: Inventory;
  readonly running: readonly string[];
}

export const PROTOCOL_VERSION = 1;

export function helloToWire(hello: HelloData): ostler.v1.Hello.$Properties {
  return {
    host: hello.host,
    protocolVersion: PROTOCOL_VERSION,
    instanceId: hello.instanceId,
    bootId: hello.bootId,
    facts: hostFactsToWire(hello.facts),
    inventory: inventoryToWire(hello.inventory),
    runningCommands: [...hello.running],
  };
}
