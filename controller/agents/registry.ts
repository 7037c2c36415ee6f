import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import { noFaults, type FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import { runLoop } from '../../proto/kit/loop.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { fromErrorDetail } from '../../proto/status.js';
import { domainReportFromWire } from '../../proto/convert.js';
import type { CommandOutcome } from '../core/operations/machine.js';
import type { Agents, AgentsListener, EventLog, HostView } from '../engine/env.js';
import type { Store } from '../store/store.js';
import { createEventsIn, type EventsIn } from './events-in.js';
import { applyFacts, applyHeartbeat, applyInventory, applyReport, newHostLink, type HostLink } from './host-link.js';
import { createHostRecorder } from './host-recorder.js';
import type { LinkPort } from './link-port.js';
import { createMetrics, type Metrics } from './metrics.js';
import { createQueries } from './queries.js';
import { createAsk } from './asking.js';
import { createTunnels, type Tunnels } from './tunnels.js';

type AgentMessage = ostler.v1.AgentMessage & ostler.v1.AgentMessage.$Shape;
type Hello = ostler.v1.Hello.$Properties;

export interface RegistryOptions {
  /** Without a heartbeat for so long a host is unreachable, milliseconds; default 3000. */
  readonly silentAfterMs?: number;
  readonly metricsSamples?: number;
}

export interface RegistryDeps {
  readonly store: Store;
  readonly events: EventLog;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault?: FaultPoint;
}

/** The connected agents, and the side of them that the link server feeds. */
export interface Registry extends Agents {
  readonly metrics: Metrics;
  readonly tunnels: Tunnels;
  readonly eventsIn: EventsIn;
  /** A link said hello. A newer link of a host ends the older one. Call `welcome` work before anything else is written. */
  attach(hostId: string, hello: Hello, port: LinkPort): void;
  /** A message of an attached link; ignored when another link has taken its place. */
  receive(hostId: string, port: LinkPort, message: AgentMessage): void;
  detach(hostId: string, port: LinkPort, why: string): void;
  /** Looks for hosts that fell silent. `run` does it four times a second. */
  checkSilence(): void;
  run(signal: AbortSignal): Promise<void>;
}

const SILENT_AFTER_MS = 3000;
const CHECK_MS = 250;

export function createRegistry(options: RegistryOptions, deps: RegistryDeps): Registry {
  const { store, events, clock, log } = deps;
  const fault = deps.fault ?? noFaults;
  const silentAfter = options.silentAfterMs ?? SILENT_AFTER_MS;
  const hosts = new Map<string, HostLink>();
  const listeners = new Set<AgentsListener>();
  const metrics = createMetrics(options.metricsSamples === undefined ? {} : { samples: options.metricsSamples });
  const queries = createQueries({ clock });
  const tunnels = createTunnels({ clock });
  const eventsIn = createEventsIn({ store, events, fault, log });
  const recorder = createHostRecorder({ store, events, clock, log });
  let links = 0;

  const changed = (hostId: string): void => listeners.forEach((listener) => listener.onChange(hostId));
  const nameOf = (hostId: string): string => store.get('host', hostId)?.value.name ?? hostId;

  function linked(hostId: string): LinkPort {
    const host = hosts.get(hostId);
    if (host?.port !== undefined) return host.port;
    const reason = host?.reason ?? 'has not connected since this controller started';
    throw unreachable(nameOf(hostId), reason);
  }

  function goOffline(host: HostLink, reason: string): void {
    if (!host.online) return;
    host.online = false;
    host.reason = reason;
    host.since = clock.now();
    recorder.seen(host.hostId);
    changed(host.hostId);
  }

  function goOnline(host: HostLink): void {
    if (host.online) return;
    host.online = true;
    host.reason = '';
    host.since = clock.now();
  }

  function announce(host: HostLink): void {
    const state = host.online ? 'online' : 'unreachable';
    if (host.announced === state) return;
    // A link that ends and is back at once (a restarted agent) is no news.
    if (state === 'unreachable' && clock.monotonic() - host.lastHeartbeat <= silentAfter) return;
    host.announced = state;
    recorder.announce(host.hostId, state, host.reason);
  }

  function attach(hostId: string, hello: Hello, port: LinkPort): void {
    const host = hosts.get(hostId) ?? newHostLink(hostId);
    hosts.set(hostId, host);
    if (host.port !== undefined) {
      const older = host.port;
      const why = new OstlerError('CANCELLED', `A newer link of ${nameOf(hostId)} took the place of this one.`);
      host.port = undefined;
      queries.drop(older, why);
      older.end(why);
    }
    links += 1;
    host.port = port;
    host.link = links;
    host.instanceId = hello.instanceId ?? '';
    host.lastHeartbeat = clock.monotonic();
    if (hello.facts !== null && hello.facts !== undefined) applyFacts(host, hello.facts);
    applyInventory(host, hello.inventory ?? {}, clock.now());
    goOnline(host);
    recorder.record(hostId, host.facts);
    announce(host);
    log.info({ host: nameOf(hostId), link: host.link, instance: host.instanceId }, 'link is up');
    changed(hostId);
  }

  function detach(hostId: string, port: LinkPort, why: string): void {
    const host = hosts.get(hostId);
    queries.drop(port, unreachable(nameOf(hostId), why));
    if (host?.port !== port) return;
    host.port = undefined;
    log.info({ host: nameOf(hostId), link: host.link, why }, 'link is down');
    goOffline(host, `is not connected since ${isoTime(clock.now())} (${why})`);
  }

  function onBeat(host: HostLink, port: LinkPort, beat: ostler.v1.Heartbeat.$Properties): void {
    const news = applyHeartbeat(host, beat, clock.monotonic());
    port.write({
      heartbeatAck: { sequence: beat.sequence ?? 0, sentMonotonicMs: beat.sentMonotonicMs ?? 0 },
    });
    goOnline(host);
    announce(host);
    if (news) changed(host.hostId);
  }

  function onResult(host: HostLink, result: ostler.v1.CommandResult.$Properties): void {
    if (result.domain !== null && result.domain !== undefined) {
      applyReport(host, result.domain);
      changed(host.hostId);
    }
    const outcome = outcomeOf(result);
    fault('result.received');
    listeners.forEach((listener) => listener.onResult(host.hostId, result.command ?? '', outcome));
  }

  function dispatch(host: HostLink, port: LinkPort, message: AgentMessage): void {
    switch (message.body) {
      case 'heartbeat': {
        onBeat(host, port, message.heartbeat);
        return;
      }
      case 'commandResult': {
        onResult(host, message.commandResult);
        return;
      }
      case 'commandProgress': {
        const { command, percent, detail } = message.commandProgress;
        const progress = { percent: percent ?? 0, detail: detail ?? '' };
        listeners.forEach((listener) => listener.onProgress(host.hostId, command ?? '', progress));
        return;
      }
      case 'queryResult': {
        queries.answer(port, message.queryResult);
        return;
      }
      case 'domainReport':
        applyReport(host, message.domainReport);
        changed(host.hostId);
        return;
      case 'event': {
        eventsIn.take(host.hostId, message.event, (sequence) => port.write({ eventAck: { sequence } }));
        return;
      }
      case 'metrics': {
        metrics.record(host.hostId, message.metrics);
        return;
      }
      case 'facts':
        applyFacts(host, message.facts);
        recorder.record(host.hostId, host.facts);
        changed(host.hostId);
        return;
      case 'inventory':
        applyInventory(host, message.inventory, clock.now());
        changed(host.hostId);
        return;
      case 'hello':
        throw new OstlerError('INVALID_FIELD', 'hello: came twice on one link.', { field: 'hello' });
      case undefined:
        // A newer agent's message: what it says is not needed by this version.
        return;
    }
  }

  function checkSilence(): void {
    for (const host of hosts.values()) {
      const silence = clock.monotonic() - host.lastHeartbeat;
      if (host.online && silence > silentAfter) {
        goOffline(host, `does not answer since ${isoTime(clock.now() - silence)}`);
      }
      if (host.link !== 0) announce(host);
    }
  }

  return {
    metrics,
    tunnels,
    eventsIn,
    attach,
    detach,
    checkSilence,
    receive: (hostId, port, message) => {
      const host = hosts.get(hostId);
      if (host?.port !== port) return;
      dispatch(host, port, message);
    },
    run: (signal) =>
      runLoop({ name: 'liveness', intervalMs: CHECK_MS }, { clock, log, signal }, () => {
        checkSilence();
        return Promise.resolve();
      }),
    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    view: (hostId) => {
      const host = hosts.get(hostId);
      return host === undefined ? undefined : viewOf(host, metrics);
    },
    views: function* () {
      for (const host of hosts.values()) yield viewOf(host, metrics);
    },
    send: (hostId, command) => linked(hostId).write({ command }),
    cancel: (hostId, command) => linked(hostId).write({ cancelCommand: { command } }),
    acknowledge: (hostId, command) => hosts.get(hostId)?.port?.write({ resultAck: { command } }),
    ...createAsk({ linked, nameOf, queries, tunnels }),
    disconnect: (hostId, reason) => {
      const port = hosts.get(hostId)?.port;
      if (port !== undefined) {
        detach(hostId, port, reason);
        port.end(new OstlerError('PERMISSION_DENIED', `The controller ended this link: ${reason}.`));
      }
      if (store.get('host', hostId) !== undefined) return;
      hosts.delete(hostId);
      metrics.forget(hostId);
      changed(hostId);
    },
  };
}

function viewOf(host: HostLink, metrics: Metrics): HostView {
  const { hostId, online, reason, since, link, hypervisorConnected, hypervisorReason, lastHeartbeat } = host;
  const { facts, domains, inventoryTime } = host;
  return {
    hostId,
    online,
    reason,
    since,
    link,
    hypervisorConnected,
    hypervisorReason,
    lastHeartbeat,
    facts,
    domains,
    inventoryTime,
    usage: metrics.hostUsage(hostId),
    vmUsage: metrics.vmUsage(hostId),
  };
}

function outcomeOf(result: ostler.v1.CommandResult.$Properties): CommandOutcome {
  const domain =
    result.domain === null || result.domain === undefined ? undefined : domainReportFromWire(result.domain);
  if (result.ok === true) return { ok: true, domain, facts: { ...result.facts } };
  const error =
    result.error === null || result.error === undefined
      ? toOstlerError(new Error('the agent gave no reason')).toInfo()
      : fromErrorDetail(result.error);
  return { ok: false, error, domain };
}

function unreachable(hostName: string, reason: string): OstlerError {
  return new OstlerError('HOST_UNREACHABLE', `${hostName} ${reason}.`, {
    remedy: 'Look at the host and at its ostler-agent; it connects again by itself.',
    metadata: { host: hostName },
  });
}

function isoTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');
}
