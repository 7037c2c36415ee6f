import { ostler } from '../../../proto/gen/ostler.js';
import { hostFactsToWire } from '../../../proto/convert.js';
import { toWireTime } from '../../../proto/time.js';
import type { HostDoc } from '../../core/model.js';
import { NO_ALLOCATION, type ClusterView } from '../../core/view.js';
import type { Agents, HostView } from '../../engine/env.js';
import { etagOf, type Stored } from '../../store/store.js';

export type HostStateName = 'PENDING_JOIN' | 'ONLINE' | 'UNREACHABLE' | 'HYPERVISOR_DOWN';

export function hostState(
  host: HostDoc,
  view: HostView | undefined,
): { readonly state: HostStateName; readonly reason: string } {
  if (host.certificateSerial === '') return { state: 'PENDING_JOIN', reason: 'waits for `ostler-agent join`' };
  if (view === undefined) return { state: 'UNREACHABLE', reason: 'has not connected since this controller started' };
  if (!view.online) return { state: 'UNREACHABLE', reason: view.reason };
  if (!view.hypervisorConnected)
    return { state: 'HYPERVISOR_DOWN', reason: view.hypervisorReason || 'libvirt does not answer' };
  return { state: 'ONLINE', reason: '' };
}

export function hostToWire(
  stored: Stored<HostDoc>,
  deps: { readonly agents: Agents; readonly view: ClusterView },
): ostler.v1.Host.$Properties {
  const host = stored.value;
  const view = deps.agents.view(host.id);
  const { state, reason } = hostState(host, view);
  const facts = view?.facts ?? host.facts;
  const allocated = deps.view.host(host.id)?.allocated ?? NO_ALLOCATION;
  return {
    id: host.id,
    name: host.name,
    state: ostler.v1.HostState[state],
    stateReason: reason,
    tags: [...host.tags],
    schedulable: host.schedulable,
    facts: facts === undefined ? null : hostFactsToWire(facts),
    usage: view?.online === true ? (view.usage ?? null) : null,
    vmCount: allocated.vms,
    allocatedVcpus: allocated.vcpus,
    allocatedMemoryBytes: allocated.memoryBytes,
    createTime: toWireTime(host.createTime),
    seenTime: seenTime(host, view),
    certificateExpireTime: host.certificateExpireTime === 0 ? null : toWireTime(host.certificateExpireTime),
    etag: etagOf(stored),
  };
}

/** `seenTime` in the record is written now and then; the link knows better. */
function seenTime(host: HostDoc, view: HostView | undefined): ReturnType<typeof toWireTime> {
  const sampled = view?.usage?.sampleTime;
  if (view?.online === true && sampled !== undefined && sampled !== null) return { ...sampled };
  return host.seenTime === 0 ? null : toWireTime(host.seenTime);
}
