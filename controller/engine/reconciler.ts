import { OstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import type { VmDoc } from '../core/model.js';
import { isStray, reconcile, type Correction, type Observed } from '../core/reconcile.js';
import type { DomainReport } from '../../proto/model/host.js';
import type { Clock } from '../../proto/kit/clock.js';
import type { Store, Stored } from '../store/store.js';
import type { Agents, EventLog, HostView } from './env.js';
import type { ViewIndex } from './view-index.js';

export interface ReconcilerDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly events: EventLog;
  readonly index: ViewIndex;
  readonly clock: Clock;
  readonly fault: FaultPoint;
  readonly log: Log;
}

/** Brings the records of the VMs on one host in line with what the host reports. Called under the engine's lock. */
export async function reconcileHost(hostId: string, deps: ReconcilerDeps): Promise<void> {
  const view = deps.agents.view(hostId);
  const host = deps.store.get('host', hostId)?.value;
  if (host === undefined || view?.online !== true || !view.hypervisorConnected || view.domains === undefined) return;
  for (const id of candidates(hostId, view, deps.index)) {
    const stored = deps.store.get('vm', id);
    // A VM that an operation holds is the operation's; it is looked at again when it is released.
    if (stored === undefined || stored.value.operationId !== '') continue;
    const report = view.domains.get(stored.value.record.uuid);
    if (report === undefined && !isProvenAbsent(stored.value, view)) continue;
    if (report !== undefined && (isStray(stored.value, hostId, report) || isContested(stored.value, hostId, deps))) {
      await tellStray(stored, report, host.name, deps);
      continue;
    }
    const observed: Observed = { hostId, hostName: host.name, report };
    const correction = reconcile(stored.value, observed, deps.clock.now());
    if (correction !== undefined) await commit(stored, correction, deps);
  }
}

/** VMs that should be here, and VMs that say they are. */
function candidates(hostId: string, view: HostView, index: ViewIndex): Set<string> {
  const claimed = [...(view.domains?.values() ?? [])].filter(isClaim).map((report) => report.vmId);
  return new Set([...index.vmsOn(hostId), ...claimed]);
}

function isClaim(report: DomainReport): boolean {
  return report.managed && report.vmId !== '' && report.state !== 'gone';
}

/** Only a full list that is younger than the record proves that a domain is not there. */
function isProvenAbsent(vm: VmDoc, view: HostView): boolean {
  return view.inventoryTime > vm.updateTime;
}

/** A host speaks for itself: what it says of a VM that its own host has there right now is no reason to believe it. */
function isContested(vm: VmDoc, hostId: string, { agents }: ReconcilerDeps): boolean {
  if (vm.hostId === hostId || vm.hostId === '') return false;
  const own = agents.view(vm.hostId);
  const report = own?.online === true && own.hypervisorConnected ? own.domains?.get(vm.record.uuid) : undefined;
  return report !== undefined && report.state !== 'gone';
}

/** Once for each copy and epoch: the event's key sees to it. */
async function tellStray(
  stored: Stored<VmDoc>,
  report: DomainReport,
  hostName: string,
  { events, store, log }: ReconcilerDeps,
): Promise<void> {
  const { record, hostId } = stored.value;
  const place = hostId === '' ? 'nowhere' : `on ${store.get('host', hostId)?.value.name ?? hostId}`;
  const message = `${hostName} has a copy of ${record.name} (${report.state}, epoch ${report.epoch}), which belongs ${place} at epoch ${record.epoch}.`;
  log.debug({ vm: stored.id, host: hostName }, message);
  await events.append({
    key: `stray/${stored.id}/${hostName}/${report.epoch}/${record.epoch}/${report.state}`,
    kind: 'vm.stray',
    target: stored.id,
    targetName: record.name,
    host: hostName,
    actor: 'controller',
    message,
    operation: '',
    metadata: { epoch: String(report.epoch), record_epoch: String(record.epoch), state: report.state },
  });
}

async function commit(stored: Stored<VmDoc>, { vm, event }: Correction, deps: ReconcilerDeps): Promise<void> {
  const { store, events, fault, log } = deps;
  fault('reconcile.decided');
  try {
    await store.commit([{ kind: 'vm', id: stored.id, expect: stored.revision, put: vm }]);
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'STALE_ETAG') return;
    throw error;
  }
  fault('reconcile.committed');
  log.info({ vm: stored.id, settled: vm.settled, reason: vm.stateReason }, 'record corrected by what the host reports');
  await events.append({
    ...event,
    key: `${stored.id}/${stored.revision}/${event.kind}`,
    target: stored.id,
    targetName: vm.record.name,
    actor: 'controller',
    operation: '',
  });
  fault('reconcile.published');
}
