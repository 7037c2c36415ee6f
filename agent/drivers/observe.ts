import type { Clock } from '../../proto/kit/clock.js';
import type { Log } from '../../proto/kit/log.js';
import { runLoop } from '../../proto/kit/loop.js';
import type { DomainReport } from '../../proto/model/host.js';
import type { Hypervisor, HypervisorEvent } from '../hypervisor.js';
import type { Outbox } from '../outbox.js';
import { causeOf, edgeEvent, missedEdge, rebootEvent, type Edge } from './edges.js';
import type { Intents } from './intents.js';
import { isActive } from './domain-state.js';
import { createDomainReader, describeDomain, sameReport } from './report.js';
import { createSweep } from './sweep.js';

export interface Inventory {
  /** False: `domains` says nothing. */
  readonly connected: boolean;
  readonly reason: string;
  readonly domains: readonly DomainReport[];
}

/** Keeps an eye on all domains of this host and tells what changes. */
export interface Observer {
  /** What is known now, without asking. */
  inventory(): Inventory;
  /** Asks libvirt now; tells the listeners when it changed. */
  report(uuid: string): Promise<DomainReport>;
  /** Addresses are asked for elsewhere, from time to time. */
  setAddresses(uuid: string, addresses: readonly string[]): void;
  /** Until the signal aborts. */
  run(signal: AbortSignal): Promise<void>;
  /** Level: a domain is now like this. */
  onReport: (report: DomainReport) => void;
  /** A whole new list: after a (re)connection, and with `connected: false` when libvirt went away. */
  onInventory: (inventory: Inventory) => void;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly outbox: Outbox;
  readonly intents: Intents;
  readonly clock: Clock;
  readonly log: Log;
}

interface Known {
  report: DomainReport;
  /** Lifecycle events since it last started. */
  edges: Edge[];
}

/** libvirt may be there and still not answer: the listing is tried again. */
const RETRY_MS = 500;
/** What no event tells is noticed after two of these. */
const SWEEP_MS = 10_000;
/** A guest that is asked more than once, by its button and its agent, may reset more than once: it is still our restart. */
const SAME_REBOOT_MS = 60_000;

export function createObserver(deps: Deps): Observer {
  const { hypervisor, outbox, intents, clock, log } = deps;
  const known = new Map<string, Known>();
  /** When the last restart that we asked for happened, on the monotonic clock. */
  const askedReboots = new Map<string, number>();
  const read = createDomainReader();
  const describe = (uuid: string): Promise<DomainReport> => describeDomain(uuid, hypervisor, read);
  let listed = false;
  let wasConnected: boolean | undefined;
  let reason = 'not connected yet';

  const remember = (report: DomainReport, edges?: Edge[]): DomainReport => {
    const before = known.get(report.uuid);
    const addresses = report.state === 'running' ? (before?.report.addresses ?? []) : [];
    const life = edges ?? before?.edges ?? [];
    const off = report.state === 'shutoff' || report.state === 'crashed';
    const exit = off ? { exitCause: causeOf(life, intents.of(report.uuid), report.reason) } : {};
    const now: DomainReport = { ...report, addresses, ...exit };
    known.set(report.uuid, { report: now, edges: life });
    if (before === undefined || !sameReport(before.report, now)) observer.onReport(now);
    if (report.state === 'gone') {
      known.delete(report.uuid);
      askedReboots.delete(report.uuid);
    }
    return now;
  };

  /** Something happened to it of which no event has told, or will. */
  const catchUp = (report: DomainReport): void => {
    const before = known.get(report.uuid);
    if (before !== undefined) {
      const missed = missedEdge(before.report, report, intents.of(report.uuid), clock.now());
      if (missed !== undefined) {
        outbox.add(missed);
        // Events of the life before the gap cannot explain what happened in it.
        before.edges = [];
      }
    }
    remember(report);
  };
  const sweep = createSweep({
    listDomains: () => hypervisor.listDomains(),
    known: () => new Map([...known].map(([uuid, { report }]) => [uuid, report.state])),
    catchUp: async (uuid) => {
      const report = await describe(uuid);
      log.warn({ uuid, state: report.state }, 'a change of a domain of which no event has told');
      catchUp(report);
    },
  });

  const relist = async (): Promise<void> => {
    const summaries = await hypervisor.listDomains();
    const uuids = new Set([...summaries.map((one) => one.uuid), ...known.keys()]);
    const reports = await Promise.all([...uuids].map((uuid) => describe(uuid)));
    for (const report of reports) catchUp(report);
    listed = true;
    observer.onInventory(observer.inventory());
  };

  const onConnection = async (connected: boolean, why: string, signal: AbortSignal): Promise<void> => {
    reason = why;
    if (connected === wasConnected) return;
    const first = wasConnected === undefined;
    wasConnected = connected;
    listed = false;
    const base = { vmUuid: '', vmId: '', metadata: {}, time: clock.now() };
    if (!connected) {
      log.warn({ reason: why }, 'libvirt is away');
      outbox.add({ ...base, kind: 'hypervisor.lost', message: `libvirt is away: ${why}` });
      observer.onInventory(observer.inventory());
      return;
    }
    log.info({}, 'connected to libvirt');
    if (!first) outbox.add({ ...base, kind: 'hypervisor.connected', message: 'libvirt is back.' });
    await relistUntilDone(signal);
  };

  const relistUntilDone = async (signal: AbortSignal): Promise<void> => {
    while (hypervisor.connected && !signal.aborted) {
      try {
        await relist();
        return;
      } catch (error) {
        log.warn({ err: error }, 'the domains could not be listed');
        await clock.sleep(RETRY_MS, signal).catch(() => undefined);
      }
    }
  };

  const onDomain = async (uuid: string, edge: Edge | undefined, rebooted = false): Promise<void> => {
    const before = known.get(uuid);
    const report = await describe(uuid);
    const subject = report.vmId === '' && before !== undefined ? before.report : report;
    const edges = nextEdges(before?.edges ?? [], edge);
    if (edge !== undefined) {
      // Somebody else may have started it: what we asked of its life before is no matter of this one.
      if (edge.event === 'started') intents.set(uuid, 'none');
      const life = { events: edges, intent: intents.of(uuid) };
      // Every start ends with a "resumed": only a pause that somebody saw can end.
      const noise = edge.event === 'resumed' && before?.report.state !== 'paused';
      const event = noise
        ? undefined
        : edgeEvent(edge, { uuid, vmId: subject.vmId, reason: report.reason }, life, clock.now());
      if (event !== undefined) outbox.add(event);
    }
    if (rebooted) {
      if (intents.of(uuid) === 'reboot') {
        intents.set(uuid, 'none');
        askedReboots.set(uuid, clock.monotonic());
      }
      const asked = clock.monotonic() - (askedReboots.get(uuid) ?? -Infinity) < SAME_REBOOT_MS;
      if (!asked) askedReboots.delete(uuid);
      outbox.add(rebootEvent({ uuid, vmId: subject.vmId }, asked, clock.now()));
    }
    if (before !== undefined && endIsUntold(before.report, report, edges)) before.edges = edges;
    else remember(report, edges);
  };

  const onEvent = (event: HypervisorEvent, signal: AbortSignal): Promise<void> => {
    switch (event.type) {
      case 'connected':
        return onConnection(true, '', signal);
      case 'disconnected':
        return onConnection(false, event.reason, signal);
      case 'overflow':
        log.warn({}, 'libvirt sent events faster than they could be read: listing anew');
        return relistUntilDone(signal);
      case 'lifecycle':
        return onDomain(event.uuid, { event: event.event, detail: event.detail });
      case 'reboot':
        return onDomain(event.uuid, undefined, true);
      case 'guest-agent':
      case 'metadata-changed':
        return onDomain(event.uuid, undefined);
      case 'device-removed':
        return Promise.resolve();
    }
  };

  const observer: Observer = {
    onReport: () => undefined,
    onInventory: () => undefined,
    inventory: () => ({
      connected: hypervisor.connected && listed,
      reason: hypervisor.connected ? '' : reason,
      domains: [...known.values()].map((one) => one.report),
    }),
    report: async (uuid) => remember(await describe(uuid)),
    setAddresses(uuid, addresses) {
      const entry = known.get(uuid);
      if (entry?.report.state !== 'running') return;
      const report = { ...entry.report, addresses };
      if (sameReport(entry.report, report)) return;
      entry.report = report;
      observer.onReport(report);
    },
    async run(signal) {
      const ended = new AbortController();
      const either = AbortSignal.any([signal, ended.signal]);
      const sweeping = runLoop({ name: 'sweep', intervalMs: SWEEP_MS }, { clock, log, signal: either }, async () => {
        if (hypervisor.connected && listed) await sweep();
      });
      try {
        for await (const event of hypervisor.events(signal)) {
          try {
            await onEvent(event, signal);
          } catch (error) {
            // libvirt went away in between: the list after its return makes up for it.
            log.warn({ err: error, event: event.type }, 'an event of libvirt could not be followed up');
          }
        }
      } finally {
        ended.abort();
        await sweeping;
      }
    },
  };
  return observer;
}

/**
 * libvirt shows the end of a domain before its events of it have come, and only they tell why: what is seen in between is
 * passed over, since "stopped" is always the last of them. When libvirt goes away first, its list makes up for it.
 */
function endIsUntold(before: DomainReport, now: DomainReport, edges: readonly Edge[]): boolean {
  return isActive(before.state) && now.state === 'shutoff' && !edges.some((edge) => edge.event === 'stopped');
}

/** A life's edges: a start begins a new one. Twenty are more than any exit needs. */
function nextEdges(before: readonly Edge[], edge: Edge | undefined): Edge[] {
  if (edge === undefined) return [...before];
  return edge.event === 'started' ? [edge] : [...before.slice(-19), edge];
}
