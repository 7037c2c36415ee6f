/**
 * Simulated agents behind the engine's seam: a journal, domains, epochs, and a link that can be cut, doubled and reordered.
 * Commands wait until the test (or its chance) lets them run, so that every interleaving can be made.
 */
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { DomainReport, HostFacts } from '../../proto/model/host.js';
import type { ErrorInfo } from '../../controller/core/error-info.js';
import type { CommandOutcome } from '../../controller/core/operations/machine.js';
import type { Agents, AgentsListener, HostView } from '../../controller/engine/env.js';

type Command = ostler.v1.Command.$Properties;

export interface FakeHost {
  readonly id: string;
  facts: HostFacts;
  online: boolean;
  link: number;
  hypervisor: boolean;
  /** Commands that came and have not run, in the order of arrival. */
  readonly waiting: Command[];
  /** Results by command id: what the agent's journal has. */
  readonly journal: Map<string, CommandOutcome>;
  /** Results that were not acknowledged. */
  readonly unacknowledged: Set<string>;
  readonly domains: Map<string, DomainReport>;
  readonly epochs: Map<string, number>;
  /** How often each command really ran: never more than once. */
  readonly runs: Map<string, number>;
  /** Next failures, by kind of command. */
  readonly failures: Map<string, ErrorInfo[]>;
  readonly log: string[];
  inventoryTime: number;
}

export interface FakeAgents extends Agents {
  host(id: string): FakeHost;
  add(id: string, facts: HostFacts): FakeHost;
  /** The link comes up: inventory, then unacknowledged results again. */
  connect(id: string): void;
  cut(id: string): void;
  /** The agent process ends and comes back: what had come and not begun is lost. */
  restart(id: string): void;
  /** Runs the n-th waiting command of the host and delivers its result if the link is up. */
  runNext(id: string, nth?: number): boolean;
  /** Delivers the result of a command that has run once more. */
  repeat(id: string, commandId: string): void;
  /** A domain changes by itself. */
  observe(id: string, uuid: string, change: Partial<DomainReport>): void;
  inventory(id: string): void;
}

const SNAPSHOT_KINDS = ['createSnapshot', 'revertSnapshot', 'deleteSnapshot', 'updateSnapshot', 'flatten'] as const;
const KINDS = [
  ...(['provision', 'start', 'shutdown', 'reboot', 'expunge', 'setRecord', 'forgetImage', 'apply'] as const),
  ...(['pause', 'resume', 'suspend', 'sendNmi', 'rebuildRoot'] as const),
  ...SNAPSHOT_KINDS,
] as const;

export function kindOf(command: Command): (typeof KINDS)[number] {
  const kind = KINDS.find((one) => command[one] !== undefined && command[one] !== null);
  if (kind === undefined) throw new Error('a command without a body');
  return kind;
}

export function createFakeAgents(deps: { readonly clock: Clock }): FakeAgents {
  const hosts = new Map<string, FakeHost>();
  const listeners = new Set<AgentsListener>();
  let links = 0;
  const host = (id: string): FakeHost => {
    const found = hosts.get(id);
    if (found === undefined) throw new Error(`no host ${id}`);
    return found;
  };
  const changed = (id: string): void => listeners.forEach((listener) => listener.onChange(id));

  function deliver(target: FakeHost, commandId: string): void {
    const outcome = target.journal.get(commandId);
    if (!target.online || outcome === undefined) return;
    listeners.forEach((listener) => listener.onResult(target.id, commandId, outcome));
  }

  function connect(id: string): void {
    const target = host(id);
    links += 1;
    target.link = links;
    target.online = true;
    target.inventoryTime = deps.clock.now();
    changed(id);
    for (const commandId of [...target.unacknowledged]) deliver(target, commandId);
  }

  function linked(id: string): FakeHost {
    const target = host(id);
    if (!target.online) throw new OstlerError('HOST_UNREACHABLE', `${id} is away.`);
    return target;
  }

  return {
    host,
    connect,
    add: (id, facts) => {
      const made: FakeHost = {
        id,
        facts,
        online: false,
        link: 0,
        hypervisor: true,
        waiting: [],
        journal: new Map(),
        unacknowledged: new Set(),
        domains: new Map(),
        epochs: new Map(),
        runs: new Map(),
        failures: new Map(),
        log: [],
        inventoryTime: 0,
      };
      hosts.set(id, made);
      return made;
    },
    cut: (id) => {
      host(id).online = false;
      changed(id);
    },
    restart: (id) => {
      const target = host(id);
      target.online = false;
      target.waiting.length = 0;
      changed(id);
      connect(id);
    },
    runNext: (id, nth = 0) => {
      const target = host(id);
      const [command] = target.waiting.splice(Math.min(nth, target.waiting.length - 1), 1);
      if (command === undefined) return false;
      const commandId = command.id ?? '';
      if (!target.journal.has(commandId)) {
        target.runs.set(commandId, (target.runs.get(commandId) ?? 0) + 1);
        target.journal.set(commandId, execute(target, command));
        target.unacknowledged.add(commandId);
      }
      deliver(target, commandId);
      return true;
    },
    repeat: (id, commandId) => deliver(host(id), commandId),
    observe: (id, uuid, change) => {
      const target = host(id);
      const before = target.domains.get(uuid);
      if (before === undefined) throw new Error(`no domain ${uuid}`);
      target.domains.set(uuid, { ...before, ...change });
      changed(id);
    },
    inventory: (id) => {
      host(id).inventoryTime = deps.clock.now();
      changed(id);
    },

    subscribe: (listener) => {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
    view: (id) => {
      const found = hosts.get(id);
      return found === undefined || found.link === 0 ? undefined : viewOf(found);
    },
    views: function* () {
      for (const one of hosts.values()) if (one.link !== 0) yield viewOf(one);
    },
    send: (id, command) => {
      const target = linked(id);
      target.log.push(`${kindOf(command)} ${command.id ?? ''}`);
      const known = target.journal.has(command.id ?? '') || target.waiting.some((one) => one.id === command.id);
      if (target.journal.has(command.id ?? '')) {
        target.unacknowledged.add(command.id ?? '');
        queueMicrotask(() => deliver(target, command.id ?? ''));
      }
      if (!known) target.waiting.push(command);
    },
    cancel: (id, commandId) => {
      const target = linked(id);
      target.log.push(`cancel ${commandId}`);
      const index = target.waiting.findIndex((one) => one.id === commandId);
      if (index < 0) return;
      target.waiting.splice(index, 1);
      target.journal.set(commandId, {
        ok: false,
        error: { code: 'CANCELLED', message: 'cancelled at the agent' },
        domain: undefined,
      });
      target.unacknowledged.add(commandId);
      queueMicrotask(() => deliver(target, commandId));
    },
    acknowledge: (id, commandId) => void hosts.get(id)?.unacknowledged.delete(commandId),
    inspect: () => Promise.reject(new Error('not simulated')),
    planRecord: () => Promise.resolve({ changes: [], refusals: [] }),
    listSnapshots: () => Promise.reject(new Error('not simulated')),
    listVolumes: () => Promise.reject(new Error('not simulated')),
    listRecords: () => Promise.reject(new Error('not simulated')),
    openTunnel: () => Promise.reject(new Error('not simulated')),
    screenshot: () => Promise.reject(new OstlerError('HYPERVISOR_ERROR', 'A simulated VM has no screen.')),
    disconnect: (id) => {
      hosts.delete(id);
      changed(id);
    },
  };
}

function viewOf(host: FakeHost): HostView {
  return {
    hostId: host.id,
    online: host.online,
    reason: host.online ? '' : 'does not answer since noon',
    since: 0,
    link: host.link,
    hypervisorConnected: host.hypervisor,
    hypervisorReason: host.hypervisor ? '' : 'stopped',
    lastHeartbeat: 0,
    facts: host.facts,
    domains: host.domains,
    inventoryTime: host.inventoryTime,
    usage: undefined,
    vmUsage: new Map(),
  };
}

function execute(host: FakeHost, command: Command): CommandOutcome {
  const kind = kindOf(command);
  const uuid = command.vmUuid ?? '';
  const epoch = command.epoch ?? 0;
  const failure = host.failures.get(kind)?.shift();
  const present = host.domains.get(uuid);
  if (failure !== undefined) return { ok: false, error: failure, domain: present };
  if (epoch < (host.epochs.get(uuid) ?? 0)) {
    return { ok: false, error: { code: 'STALE_EPOCH', message: 'an older epoch' }, domain: present };
  }
  host.epochs.set(uuid, epoch);
  const set = (state: DomainReport['state'], reason: string): CommandOutcome => {
    const domain = { ...(present ?? blank(uuid, command.vmId ?? '')), epoch, state, reason };
    host.domains.set(uuid, domain);
    return { ok: true, domain, facts: {} };
  };
  switch (kind) {
    case 'provision':
      return set('shutoff', 'unknown');
    case 'start':
      return set('running', 'booted');
    case 'shutdown':
      return set('shutoff', 'shutdown');
    case 'pause':
      return set('paused', 'user');
    case 'resume':
      return set('running', 'unpaused');
    case 'suspend':
      return set('shutoff', 'saved');
    case 'expunge':
      host.domains.delete(uuid);
      return { ok: true, domain: undefined, facts: {} };
    case 'reboot':
    case 'sendNmi':
    case 'rebuildRoot':
    case 'setRecord':
    case 'forgetImage':
    case 'apply':
    case 'createSnapshot':
    case 'revertSnapshot':
    case 'deleteSnapshot':
    case 'updateSnapshot':
    case 'flatten':
      return { ok: true, domain: present, facts: {} };
  }
}

function blank(uuid: string, vmId: string): DomainReport {
  return {
    uuid,
    name: vmId,
    state: 'shutoff',
    reason: '',
    managed: true,
    vmId,
    epoch: 0,
    guestAgentConnected: false,
    addresses: [],
    consoleAvailable: false,
  };
}
