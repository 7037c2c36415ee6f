/** What the registry knows of one host, and the pure changes to it. Volatile: made anew by every hello. */
import { domainReportFromWire, hostFactsFromWire } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { DomainReport, HostFacts } from '../../proto/model/host.js';
import type { LinkPort } from './link-port.js';

export interface HostLink {
  readonly hostId: string;
  /** Undefined: the link ended. */
  port: LinkPort | undefined;
  link: number;
  instanceId: string;
  online: boolean;
  reason: string;
  since: number;
  hypervisorConnected: boolean;
  hypervisorReason: string;
  lastHeartbeat: number;
  facts: HostFacts | undefined;
  domains: Map<string, DomainReport> | undefined;
  inventoryTime: number;
  /** What the event log was told last. */
  announced: 'online' | 'unreachable' | undefined;
}

export function newHostLink(hostId: string): HostLink {
  return {
    hostId,
    port: undefined,
    link: 0,
    instanceId: '',
    online: false,
    reason: 'has not connected since this controller started',
    since: 0,
    hypervisorConnected: false,
    hypervisorReason: '',
    lastHeartbeat: 0,
    facts: undefined,
    domains: undefined,
    inventoryTime: 0,
    announced: undefined,
  };
}

/** A full list. While libvirt is away it says nothing, and what was known before stays. */
export function applyInventory(host: HostLink, inventory: ostler.v1.DomainInventory.$Properties, now: number): void {
  const connected = inventory.hypervisorConnected ?? false;
  if (!connected) {
    host.hypervisorConnected = false;
    if (host.hypervisorReason === '') host.hypervisorReason = 'the agent has no connection to it';
    return;
  }
  host.hypervisorConnected = true;
  host.hypervisorReason = '';
  const reports = (inventory.domains ?? []).map(domainReportFromWire);
  host.domains = new Map(reports.map((report) => [report.uuid, report]));
  host.inventoryTime = now;
}

/** One domain as it is now. `gone` is kept until the next inventory: it is a proof of absence. */
export function applyReport(host: HostLink, wire: ostler.v1.DomainReport.$Properties): void {
  const report = domainReportFromWire(wire);
  host.domains ??= new Map();
  host.domains.set(report.uuid, report);
}

/** True when something changed that decisions depend on. */
export function applyHeartbeat(host: HostLink, beat: ostler.v1.Heartbeat.$Properties, monotonic: number): boolean {
  host.lastHeartbeat = monotonic;
  const connected = beat.hypervisorConnected ?? false;
  const reason = connected ? '' : (beat.hypervisorReason ?? '');
  const changed = connected !== host.hypervisorConnected || reason !== host.hypervisorReason || !host.online;
  host.hypervisorConnected = connected;
  host.hypervisorReason = reason;
  return changed;
}

export function applyFacts(host: HostLink, wire: ostler.v1.HostFacts.$Properties): void {
  host.facts = hostFactsFromWire(wire);
}
