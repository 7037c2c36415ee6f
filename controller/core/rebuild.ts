/** Which VM records come back from the hosts' domain metadata when the store lacks them (DESIGN: the hosts are the truth). */
import type { DomainReport } from '../../proto/model/host.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { SettledState, VmDoc } from './model.js';

export interface HostRecords {
  readonly hostId: string;
  readonly hostName: string;
  readonly records: readonly VmRecord[];
  /** Domain name → why its metadata cannot be read. */
  readonly unreadable: Readonly<Record<string, string>>;
  readonly domains: ReadonlyMap<string, DomainReport>;
}

export interface RebuildInput {
  readonly answers: readonly HostRecords[];
  /** Ids of the VMs that the store has. */
  readonly known: ReadonlySet<string>;
  /** Lower-case name → id of the VM that has it. */
  readonly names: ReadonlyMap<string, string>;
  readonly now: number;
  readonly retentionMs: number;
}

export interface RebuildPlan {
  readonly restored: readonly VmDoc[];
  readonly alreadyKnown: readonly string[];
  /** VM id (or domain name) → reason. */
  readonly skipped: Readonly<Record<string, string>>;
}

interface Claim {
  readonly host: HostRecords;
  readonly record: VmRecord;
}

export function planRebuild(input: RebuildInput): RebuildPlan {
  const skipped: Record<string, string> = {};
  const claims = new Map<string, Claim[]>();
  for (const host of input.answers) {
    for (const [domain, why] of Object.entries(host.unreadable)) skipped[`${host.hostName}/${domain}`] = why;
    for (const record of host.records) claims.set(record.id, [...(claims.get(record.id) ?? []), { host, record }]);
  }
  const names = new Map(input.names);
  const restored: VmDoc[] = [];
  const alreadyKnown: string[] = [];
  for (const id of [...claims.keys()].sort()) {
    if (input.known.has(id)) {
      alreadyKnown.push(id);
      continue;
    }
    const [best, ...others] = [...(claims.get(id) ?? [])].sort(byClaim);
    if (best === undefined) continue;
    const owner = names.get(best.record.name.toLowerCase());
    if (owner !== undefined) {
      skipped[id] = `its name ${best.record.name} belongs to ${owner}; rename that VM and rebuild again`;
      continue;
    }
    names.set(best.record.name.toLowerCase(), id);
    for (const other of others)
      skipped[`${id}@${other.host.hostName}`] =
        `epoch ${other.record.epoch} on ${other.host.hostName} is not newer than ${best.record.epoch} on ${best.host.hostName}, which counts`;
    restored.push(docOf(best, input));
  }
  return { restored, alreadyKnown, skipped };
}

/** The highest epoch wins: it is the last assignment. Of equals the one that runs, then the host's id. */
function byClaim(a: Claim, b: Claim): number {
  const running = (claim: Claim): number => (isUp(claim.host.domains.get(claim.record.uuid)) ? 1 : 0);
  return b.record.epoch - a.record.epoch || running(b) - running(a) || (a.host.hostId < b.host.hostId ? -1 : 1);
}

function isUp(report: DomainReport | undefined): boolean {
  return report?.state === 'running' || report?.state === 'paused' || report?.state === 'shutdown';
}

function docOf({ host, record }: Claim, input: RebuildInput): VmDoc {
  const report = host.domains.get(record.uuid);
  const settled = settledOf(record, report);
  return {
    record,
    hostId: host.hostId,
    settled,
    stateReason: 'restored from its host',
    operationId: '',
    updateTime: input.now,
    purgeTime: settled === 'destroyed' ? input.now + input.retentionMs : 0,
  };
}

/** What the domain does now decides; a record that says "deleted" of a VM that runs is a deletion that was cut short. */
function settledOf(record: VmRecord, report: DomainReport | undefined): SettledState {
  if (report?.state === 'paused') return 'paused';
  if (isUp(report)) return 'running';
  if (record.deleteTime !== undefined) return 'destroyed';
  if (report?.reason === 'saved') return 'suspended';
  return record.startedOnce ? 'stopped' : 'created';
}
