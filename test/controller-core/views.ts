/** Views of a cluster for tests of pure decisions. */
import type { ImageDoc } from '../../controller/core/model.js';
import { DEFAULT_POLICY, NO_ALLOCATION, type ClusterView, type HostEntry } from '../../controller/core/view.js';
import { anImage, id, someFacts } from '../store/documents.js';

export function anEntry(n: number, change: Partial<HostEntry> = {}): HostEntry {
  return {
    id: id('h', n),
    name: `h${n}`,
    tags: [],
    schedulable: true,
    joined: true,
    online: true,
    reason: '',
    hypervisorConnected: true,
    hypervisorReason: '',
    facts: someFacts(),
    allocated: NO_ALLOCATION,
    domains: new Map(),
    ...change,
  };
}

export function aView(hosts: readonly HostEntry[], change: Partial<ClusterView> = {}): ClusterView {
  const images = new Map<string, ImageDoc>([[id('img', 1), anImage(1)]]);
  return {
    now: 5000,
    policy: DEFAULT_POLICY,
    host: (hostId) => hosts.find((host) => host.id === hostId),
    hosts: () => hosts,
    image: (imageId) => images.get(imageId),
    vmIdByName: () => undefined,
    vmsUsingImage: () => [],
    volumeUses: () => [],
    copiesOf: () => [],
    ...change,
  };
}
