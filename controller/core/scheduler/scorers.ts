/** Scorers of placement: each gives 0 (bad) to 1 (good); the weights add up to 100. */
import { memoryCapacity, type ClusterView, type HostEntry } from '../view.js';
import type { PlaceRequest } from './filters.js';

export interface Scorer {
  readonly weight: number;
  readonly score: (host: HostEntry, request: PlaceRequest, view: ClusterView) => number;
}

/** Spread: the larger the part of memory that stays free, the better. */
const freeMemory: Scorer = {
  weight: 50,
  score: (host, { record }, view) => {
    const capacity = memoryCapacity(host.facts, view.policy);
    return capacity === 0 ? 0 : (capacity - host.allocated.memoryBytes - record.spec.memory.sizeBytes) / capacity;
  },
};

const freeCpus: Scorer = {
  weight: 30,
  score: (host, { record }, view) => {
    const limit = (host.facts?.cpus ?? 0) * view.policy.cpuOvercommit;
    return limit === 0 ? 0 : (limit - host.allocated.vcpus - record.spec.cpu.vcpus) / limit;
  },
};

/** Emulated CPUs are slower by an order of magnitude: a host with KVM comes first. */
const kvm: Scorer = { weight: 20, score: (host) => (host.facts?.accelerator === 'kvm' ? 1 : 0) };

export const SCORERS: readonly Scorer[] = [freeMemory, freeCpus, kvm];
