import type { ClusterView, HostEntry } from '../view.js';
import { FILTERS, type Filter, type PlaceRequest } from './filters.js';
import { SCORERS, type Scorer } from './scorers.js';

export interface PlaceAnswer {
  /** Undefined: no host can take it; every reason is in `rejected`. */
  readonly host: HostEntry | undefined;
  /** 0 to 100, two decimals; 0 without a host. */
  readonly score: number;
  /** Host name → why not. Hosts that could, but scored less, are in `others`. */
  readonly rejected: Readonly<Record<string, string>>;
  readonly others: Readonly<Record<string, number>>;
}

/** Chooses the host. Deterministic: equal scores are decided by fewer VMs, then by name, then by id. */
export function place(
  view: ClusterView,
  request: PlaceRequest,
  filters: readonly Filter[] = FILTERS,
  scorers: readonly Scorer[] = SCORERS,
): PlaceAnswer {
  const rejected: Record<string, string> = {};
  const others: Record<string, number> = {};
  let best: { host: HostEntry; score: number } | undefined;
  for (const host of view.hosts()) {
    const reason = firstReason(filters, host, request, view);
    if (reason !== undefined) {
      rejected[host.name] = reason;
      continue;
    }
    const candidate = { host, score: total(scorers, host, request, view) };
    const loser = best === undefined ? undefined : isBetter(candidate, best) ? best : candidate;
    if (loser !== candidate) best = candidate;
    if (loser !== undefined) others[loser.host.name] = loser.score;
  }
  return { host: best?.host, score: best?.score ?? 0, rejected, others };
}

function firstReason(filters: readonly Filter[], host: HostEntry, request: PlaceRequest, view: ClusterView) {
  for (const filter of filters) {
    const reason = filter(host, request, view);
    if (reason !== undefined) return reason;
  }
  return undefined;
}

function total(scorers: readonly Scorer[], host: HostEntry, request: PlaceRequest, view: ClusterView): number {
  const sum = scorers.reduce((points, { weight, score }) => {
    return points + weight * Math.min(1, Math.max(0, score(host, request, view)));
  }, 0);
  return Math.round(sum * 100) / 100;
}

interface Candidate {
  readonly host: HostEntry;
  readonly score: number;
}

function isBetter(a: Candidate, b: Candidate): boolean {
  if (a.score !== b.score) return a.score > b.score;
  if (a.host.allocated.vms !== b.host.allocated.vms) return a.host.allocated.vms < b.host.allocated.vms;
  if (a.host.name !== b.host.name) return a.host.name < b.host.name;
  return a.host.id < b.host.id;
}
