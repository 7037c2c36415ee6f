import type { Clock } from '../../proto/kit/clock.js';
import { isFinished } from '../core/operations/advance.js';
import type { HostDoc, OperationDoc, VmDoc } from '../core/model.js';
import {
  addAllocation,
  allocationOf,
  NO_ALLOCATION,
  volumeUsesOf,
  type Allocation,
  type ClusterView,
  type HostEntry,
  type Policy,
  type VolumeUse,
} from '../core/view.js';
import type { Store } from '../store/store.js';
import type { Agents } from './env.js';

/** The store and the agents' views, indexed; kept up by what changes, so that a decision does not walk over all VMs. */
export interface ViewIndex {
  view(): ClusterView;
  /** VMs that are on the host by their record. */
  vmsOn(hostId: string): Iterable<string>;
  /** Operations that are not finished. */
  readonly active: ReadonlySet<string>;
  /** VMs that wait for their purge. */
  readonly destroyed: ReadonlySet<string>;
  operationByRequest(actor: string, requestId: string): string | undefined;
  close(): void;
}

interface VmShare {
  readonly hostId: string;
  readonly allocation: Allocation;
  readonly name: string;
  readonly images: readonly string[];
  readonly volumes: readonly VolumeUse[];
}

export function createViewIndex(
  options: { readonly policy: Policy },
  deps: { readonly store: Store; readonly agents: Agents; readonly clock: Clock },
): ViewIndex {
  const { store, agents, clock } = deps;
  const shares = new Map<string, VmShare>();
  const byHost = new Map<string, { allocation: Allocation; readonly vms: Set<string> }>();
  const byName = new Map<string, string>();
  const byImage = new Map<string, Set<string>>();
  const byVolume = new Map<string, Set<VolumeUse>>();
  const byRequest = new Map<string, string>();
  const active = new Set<string>();
  const destroyed = new Set<string>();
  const entries = new Map<string, HostEntry>();

  function holderOf(vm: VmDoc): OperationDoc | undefined {
    return vm.operationId === '' ? undefined : store.get('operation', vm.operationId)?.value;
  }

  function count(share: VmShare, id: string, sign: 1 | -1): void {
    if (share.hostId !== '') {
      const host = byHost.get(share.hostId) ?? { allocation: NO_ALLOCATION, vms: new Set() };
      host.allocation = addAllocation(host.allocation, share.allocation, sign);
      if (sign === 1) host.vms.add(id);
      else host.vms.delete(id);
      byHost.set(share.hostId, host);
      entries.delete(share.hostId);
    }
    if (share.name !== '') {
      if (sign === 1) byName.set(share.name, id);
      else if (byName.get(share.name) === id) byName.delete(share.name);
    }
    for (const image of share.images) {
      const users = byImage.get(image) ?? new Set();
      if (sign === 1) users.add(id);
      else users.delete(id);
      byImage.set(image, users);
    }
    for (const use of share.volumes) {
      const uses = byVolume.get(use.volume) ?? new Set();
      if (sign === 1) uses.add(use);
      else uses.delete(use);
      if (uses.size > 0) byVolume.set(use.volume, uses);
      else byVolume.delete(use.volume);
    }
  }

  function vmChanged(id: string): void {
    const before = shares.get(id);
    if (before !== undefined) count(before, id, -1);
    const vm = store.get('vm', id)?.value;
    destroyed.delete(id);
    shares.delete(id);
    if (vm === undefined) return;
    if (vm.settled === 'destroyed') destroyed.add(id);
    const share = shareOf(vm, holderOf(vm));
    shares.set(id, share);
    count(share, id, 1);
  }

  function operationChanged(id: string): void {
    const op = store.get('operation', id)?.value;
    if (op === undefined || isFinished(op)) active.delete(id);
    else active.add(id);
    if (op === undefined) {
      for (const [key, value] of byRequest) if (value === id) byRequest.delete(key);
    } else if (op.requestId !== '') byRequest.set(requestKey(op.createdBy, op.requestId), id);
  }

  for (const { id } of store.list('operation')) operationChanged(id);
  for (const { id } of store.list('vm')) vmChanged(id);
  const stops = [
    store.subscribe((changed) => {
      for (const { kind, id } of changed) {
        if (kind === 'operation') operationChanged(id);
        if (kind === 'host') entries.delete(id);
      }
      // After the operations: what a VM holds depends on who works on it.
      for (const { kind, id } of changed) if (kind === 'vm') vmChanged(id);
    }),
    agents.subscribe({
      onResult: () => undefined,
      onProgress: () => undefined,
      onChange: (hostId) => entries.delete(hostId),
    }),
  ];

  function entryOf(doc: HostDoc): HostEntry {
    const cached = entries.get(doc.id);
    if (cached !== undefined) return cached;
    const entry = makeEntry(doc, agents, byHost.get(doc.id)?.allocation ?? NO_ALLOCATION);
    entries.set(doc.id, entry);
    return entry;
  }

  return {
    active,
    destroyed,
    vmsOn: (hostId) => byHost.get(hostId)?.vms ?? [],
    operationByRequest: (actor, requestId) => byRequest.get(requestKey(actor, requestId)),
    close: () => stops.forEach((stop) => stop()),
    view: () => ({
      now: clock.now(),
      policy: options.policy,
      host: (id) => {
        const doc = store.get('host', id)?.value;
        return doc === undefined ? undefined : entryOf(doc);
      },
      hosts: function* () {
        for (const { value } of store.list('host')) yield entryOf(value);
      },
      image: (id) => store.get('image', id)?.value,
      vmIdByName: (name) => byName.get(name.toLowerCase()),
      volumeUses: (volume) => [...(byVolume.get(volume) ?? [])],
      vmsUsingImage: (imageId) => [...(byImage.get(imageId) ?? [])].sort(),
      copiesOf: (vmId) => copiesOf(vmId, active, store),
    }),
  };
}

/** Looks at what is at work only, which is little. */
function copiesOf(vmId: string, active: ReadonlySet<string>, store: Store): readonly string[] {
  const names = [...active].flatMap((id) => {
    const op = store.get('operation', id)?.value;
    return op?.args.kind === 'vm.create' && op.args.source?.record.id === vmId ? [op.targetName] : [];
  });
  return names.sort();
}

function requestKey(actor: string, requestId: string): string {
  return `${actor}\n${requestId}`;
}

function shareOf(vm: VmDoc, holder: OperationDoc | undefined): VmShare {
  if (vm.settled === 'expunged') return { hostId: '', allocation: NO_ALLOCATION, name: '', images: [], volumes: [] };
  const images = vm.record.spec.disks.map((disk) => disk.image).filter((id) => id !== '');
  // Host names know no case, so neither do names of VMs.
  const name = vm.record.name.toLowerCase();
  const volumes = volumeUsesOf(vm, holder);
  return { hostId: vm.hostId, allocation: allocationOf(vm, holder), name, images: [...new Set(images)], volumes };
}

function makeEntry(doc: HostDoc, agents: Agents, allocated: Allocation): HostEntry {
  const live = agents.view(doc.id);
  return {
    id: doc.id,
    name: doc.name,
    tags: doc.tags,
    schedulable: doc.schedulable,
    joined: doc.certificateSerial !== '',
    online: live?.online ?? false,
    reason: live === undefined ? 'has not connected since this controller started' : live.reason,
    hypervisorConnected: live?.hypervisorConnected ?? false,
    hypervisorReason: live?.hypervisorReason ?? '',
    facts: live?.facts ?? doc.facts,
    allocated,
    domains: live?.domains,
  };
}
