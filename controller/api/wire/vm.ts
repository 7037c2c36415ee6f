import { ostler } from '../../../proto/gen/ostler.js';
import { vmSpecToWire } from '../../../proto/convert.js';
import { toWireTime } from '../../../proto/time.js';
import type { DomainReport } from '../../../proto/model/host.js';
import type { VmDoc } from '../../core/model.js';
import type { Agents, LiveState, Operations } from '../../engine/env.js';
import { etagOf, type Store, type Stored } from '../../store/store.js';

export interface VmWireDeps {
  readonly store: Store;
  readonly agents: Agents;
  readonly operations: Operations;
}

/** A VM as people see it: record, state, and what its host reports of it now. Secrets stay behind. */
export function vmToWire(stored: Stored<VmDoc>, deps: VmWireDeps): ostler.v1.Vm.$Properties {
  const { record, hostId, operationId, updateTime, purgeTime } = stored.value;
  const { state, reason } = deps.operations.vmState(stored);
  const view = hostId === '' ? undefined : deps.agents.view(hostId);
  const report: DomainReport | undefined = view?.online === true ? view.domains?.get(record.uuid) : undefined;
  return {
    id: record.id,
    uuid: record.uuid,
    name: record.name,
    displayName: record.displayName,
    description: record.description,
    labels: { ...record.labels },
    spec: vmSpecToWire(record.spec, { secrets: false }),
    state: ostler.v1.VmState[state],
    stateReason: reason,
    host: hostNameOf(deps.store, hostId),
    epoch: record.epoch,
    createdBy: record.createdBy,
    operation: operationId,
    etag: etagOf(stored),
    createTime: toWireTime(record.createTime),
    updateTime: toWireTime(updateTime),
    deleteTime: toWireTime(record.deleteTime),
    purgeTime: purgeTime === 0 ? null : toWireTime(purgeTime),
    guestAgentConnected: report?.guestAgentConnected ?? false,
    addresses: [...(report?.addresses ?? [])],
    consoleAvailable: (report?.consoleAvailable ?? false) && state === 'RUNNING', // C-123
    usage: state === 'RUNNING' ? (view?.vmUsage.get(record.uuid) ?? null) : null,
  };
}

/** Hosts are shown by name; an id where the record is gone. */
export function hostNameOf(store: Store, hostId: string): string {
  return hostId === '' ? '' : (store.get('host', hostId)?.value.name ?? hostId);
}

export function liveToWire(live: LiveState): ostler.v1.LiveState.$Properties {
  return { ...live };
}
