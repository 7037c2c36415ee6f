import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { DomainState } from '../../proto/model/host.js';
import { createEventFeed, type EventFeed } from '../drivers/event-feed.js';
import { isActive } from '../drivers/domain-state.js';
import type { Hypervisor, HypervisorEvent, StoragePool } from '../hypervisor.js';
import { parseXml, serializeNode } from '../xml/document.js';
import { editDomain, removeRecord, setRecord } from '../xml/edit.js';
import { METADATA_NAMESPACE, metadataElements, parseRecord, readMetadataXml } from '../xml/metadata.js';
import { readDomain } from '../xml/read-domain.js';
import { fakeBlockCalls } from './blocks.js';
import { deviceCalls, guestVcpus, withAliases } from './devices.js';
import { createFakeConsole, type FakeConsole, type GuestManners } from './guest.js';
import { withFaults, type FaultControls } from './faults.js';

interface FakeDomain {
  readonly uuid: string;
  readonly name: string;
  xml: string;
  /** Of the running one; undefined while it is off. */
  liveXml: string | undefined;
  state: DomainState;
  reason: string;
  readonly capacities: Map<string, number>;
  startedMs: number;
  agentConnected: boolean;
  autostart: boolean;
  saved: boolean;
  console: FakeConsole;
}

export interface FakeHypervisorControls extends FaultControls {
  readonly manners: GuestManners;
  readonly domains: ReadonlyMap<string, Readonly<FakeDomain>>;
  disconnect(reason: string): void;
  reconnect(): void;
  /** QEMU dies. */
  crash(uuid: string): void;
  /** The guest powers itself off, as by its own `poweroff`. */
  guestPowersOff(uuid: string): void;
  say(uuid: string, text: string): void;
  /** Changes a domain without telling anybody: what happened while nobody was connected. */
  silently(uuid: string, state: DomainState, reason: string): void;
}

const GIB = 1024 ** 3;

interface World {
  readonly clock: Clock;
  readonly domains: Map<string, FakeDomain>;
  readonly pools: Map<string, StoragePool>;
  readonly feeds: Set<EventFeed<HypervisorEvent>>;
  readonly manners: GuestManners;
  readonly onSerial: (vm: string, text: string) => void;
  connected: boolean;
  reason: string;
}

/** Domains that are only data, guests that are only timers; events and states as libvirt 9 gives them. */
export function createFakeHypervisor(options: {
  readonly clock: Clock;
  /** What a guest says on its serial console, for a log file. */
  readonly onSerial?: (vm: string, text: string) => void;
}): { readonly hypervisor: Hypervisor; readonly controls: FakeHypervisorControls } {
  const world: World = {
    clock: options.clock,
    domains: new Map(),
    pools: new Map(),
    feeds: new Set(),
    manners: { ignoresShutdown: false, shutdownMs: 20, agentMs: 20, releaseMs: 20, offlineVcpus: 0 },
    onSerial: options.onSerial ?? (() => undefined),
    connected: true,
    reason: '',
  };
  const blocks = fakeBlockCalls({
    active: (uuid) => activeOf(world, uuid),
    run(xml) {
      const domain = domainOf(world, readDomain(xml).uuid);
      Object.assign(domain, {
        state: 'running',
        reason: 'restored',
        startedMs: options.clock.monotonic(),
        liveXml: xml,
      });
      lifecycle(world, domain, 'started', 'restored');
    },
  });
  const devices = deviceCalls({
    clock: options.clock,
    manners: world.manners,
    active: (uuid) => activeOf(world, uuid),
    tell: (event) => tell(world, event),
  });
  const calls = { ...stateCalls(world), ...domainCalls(world), ...powerCalls(world), ...poolCalls(world) };
  const plain: Hypervisor = { ...calls, ...saveCalls(world), ...devices, ...blocks };
  Object.defineProperties(plain, {
    connected: { get: () => world.connected },
    disconnectReason: { get: () => world.reason },
  });
  const guard = (): void => {
    if (!world.connected) throw new OstlerError('HYPERVISOR_UNAVAILABLE', `libvirt is away: ${world.reason}`);
  };
  const sync = ['events', 'close', 'connected', 'disconnectReason'] as const;
  const { faulty, controls } = withFaults(plain, { clock: options.clock, sync, guard });
  return { hypervisor: faulty, controls: { ...controls, ...worldControls(world) } };
}

function worldControls(world: World): Omit<FakeHypervisorControls, keyof FaultControls> {
  return {
    manners: world.manners,
    domains: world.domains,
    disconnect(reason) {
      world.connected = false;
      world.reason = reason;
      tell(world, { type: 'disconnected', reason });
    },
    reconnect() {
      world.connected = true;
      world.reason = '';
      tell(world, { type: 'connected' });
    },
    crash: (uuid) => stop(world, domainOf(world, uuid), 'failed'),
    guestPowersOff: (uuid) => powerOff(world, domainOf(world, uuid), 'guest'),
    say: (uuid, text) => domainOf(world, uuid).console.say(text),
    silently: (uuid, state, reason) => {
      Object.assign(domainOf(world, uuid), { state, reason });
    },
  };
}

function tell(world: World, event: HypervisorEvent): void {
  for (const feed of world.feeds) feed.push(event);
}

function lifecycle(world: World, { uuid, name }: FakeDomain, event: string, detail: string): void {
  if (world.connected) tell(world, { type: 'lifecycle', uuid, name, event, detail });
}

function domainOf(world: World, uuid: string): FakeDomain {
  const domain = world.domains.get(uuid);
  if (domain === undefined) throw new OstlerError('NOT_FOUND', `no domain with UUID ${uuid}`);
  return domain;
}

function activeOf(world: World, uuid: string): FakeDomain {
  const domain = domainOf(world, uuid);
  if (!isActive(domain.state)) throw new OstlerError('WRONG_STATE', 'domain is not running');
  return domain;
}

function stop(world: World, domain: FakeDomain, reason: string): void {
  Object.assign(domain, { state: 'shutoff', reason, agentConnected: false, liveXml: undefined });
  domain.console.end();
  lifecycle(world, domain, 'stopped', reason);
}

function powerOff(world: World, domain: FakeDomain, who: 'guest' | 'host'): void {
  if (!isActive(domain.state)) return;
  lifecycle(world, domain, 'shutdown', who);
  stop(world, domain, 'shutdown');
}

type Part<K extends keyof Hypervisor> = Pick<Hypervisor, K>;
type StatePart = Part<
  | 'connected'
  | 'disconnectReason'
  | 'version'
  | 'nodeInfo'
  | 'capabilities'
  | 'domainCapabilities'
  | 'canGiveCpu'
  | 'events'
  | 'close'
  | 'allDomainStats'
  | 'interfaceAddresses'
  | 'guestAgentCommand'
  | 'openConsole'
>;

function stateCalls(world: World): StatePart {
  return {
    connected: true,
    disconnectReason: '',
    version: () => Promise.resolve({ libvirt: '9.0.0', hypervisor: '7.2.0' }),
    nodeInfo: () => Promise.resolve({ cpus: 8, memoryBytes: 16 * GIB, model: 'fake' }),
    capabilities: () => Promise.resolve('<capabilities/>'),
    domainCapabilities: () =>
      Promise.resolve(
        "<domainCapabilities><cpu><mode name='custom' supported='yes'>" +
          "<model usable='yes'>qemu64</model><model usable='no'>EPYC</model></mode></cpu></domainCapabilities>",
      ),
    canGiveCpu: () => Promise.resolve(true),
    async *events(signal) {
      const feed = createEventFeed<HypervisorEvent>(signal, { limit: 10_000, overflow: { type: 'overflow' } });
      world.feeds.add(feed);
      feed.push(world.connected ? { type: 'connected' } : { type: 'disconnected', reason: world.reason });
      try {
        yield* feed;
      } finally {
        world.feeds.delete(feed);
      }
    },
    close: () => Promise.resolve(),
    allDomainStats() {
      const running = [...world.domains.values()].filter((one) => isActive(one.state));
      return Promise.resolve(running.map((one) => statsOf(world, one)));
    },
    interfaceAddresses(uuid, source) {
      const domain = domainOf(world, uuid);
      if (source === 'agent' && !domain.agentConnected) throw new OstlerError('GUEST_TIMEOUT', 'no guest agent');
      const mac = readDomain(domain.xml).nics[0]?.mac ?? '';
      const last = [...world.domains.keys()].indexOf(uuid) + 2;
      return Promise.resolve([{ mac, addresses: [`192.0.2.${last}`] }]);
    },
    guestAgentCommand(uuid, command) {
      if (!command.includes('guest-get-vcpus')) return Promise.resolve('{"return":{}}');
      const { vcpus } = readDomain(liveXml(domainOf(world, uuid)));
      return Promise.resolve(guestVcpus(vcpus, world.manners.offlineVcpus));
    },
    openConsole(uuid) {
      const domain = domainOf(world, uuid);
      if (!isActive(domain.state)) throw new OstlerError('WRONG_STATE', 'domain is not running');
      return Promise.resolve(domain.console.attach());
    },
  };
}

function statsOf(world: World, domain: FakeDomain): Awaited<ReturnType<Hypervisor['allDomainStats']>>[number] {
  const aliveMs = world.clock.monotonic() - domain.startedMs;
  const { vcpus, memoryBytes } = readDomain(liveXml(domain));
  return {
    uuid: domain.uuid,
    state: domain.state,
    cpuTimeNs: BigInt(Math.round(aliveMs * 1e5)),
    vcpus,
    balloonBytes: memoryBytes,
    memoryUsedBytes: memoryBytes / 4,
    residentBytes: memoryBytes / 2,
    blockReadBytes: Math.round(aliveMs * 1000),
    blockWriteBytes: Math.round(aliveMs * 500),
    netReceiveBytes: Math.round(aliveMs * 100),
    netTransmitBytes: Math.round(aliveMs * 100),
  };
}

type DomainPart = Part<
  | 'listDomains'
  | 'domainState'
  | 'domainInfo'
  | 'domainXml'
  | 'defineDomain'
  | 'undefineDomain'
  | 'metadata'
  | 'setMetadata'
>;

function domainCalls(world: World): DomainPart {
  const { domains } = world;
  return {
    listDomains: () =>
      Promise.resolve(
        [...domains.values()].map(({ uuid, name, state, reason }) => ({ uuid, name, state, reason, persistent: true })),
      ),
    domainState(uuid) {
      const { state, reason } = domainOf(world, uuid);
      return Promise.resolve({ state, reason });
    },
    domainInfo(uuid) {
      const domain = domainOf(world, uuid);
      const { vcpus, memoryBytes } = readDomain(liveXml(domain));
      const cpuTimeNs = isActive(domain.state) ? statsOf(world, domain).cpuTimeNs : 0n;
      return Promise.resolve({ state: domain.state, reason: domain.reason, cpuTimeNs, memoryBytes, vcpus });
    },
    domainXml(uuid, { inactive = false } = {}) {
      const domain = domainOf(world, uuid);
      return Promise.resolve(inactive ? domain.xml : liveXml(domain));
    },
    defineDomain(xml) {
      const { uuid, name } = readDomain(xml);
      const before = domains.get(uuid);
      if (before !== undefined) before.xml = xml;
      else {
        const console = createFakeConsole((text) => world.onSerial(name, text));
        const life = {
          state: 'shutoff',
          reason: 'unknown',
          startedMs: 0,
          agentConnected: false,
          autostart: false,
          saved: false,
        } as const;
        domains.set(uuid, { uuid, name, xml, liveXml: undefined, ...life, capacities: new Map(), console });
      }
      lifecycle(world, domainOf(world, uuid), 'defined', before === undefined ? 'added' : 'updated');
      return Promise.resolve({ uuid, name });
    },
    undefineDomain(uuid) {
      const domain = domainOf(world, uuid);
      domains.delete(uuid);
      lifecycle(world, domain, 'undefined', 'removed');
      return Promise.resolve();
    },
    metadata(uuid, namespace) {
      if (namespace !== METADATA_NAMESPACE) return Promise.resolve(undefined);
      const [element] = metadataElements(parseXml(domainOf(world, uuid).xml).root);
      return Promise.resolve(element === undefined ? undefined : serializeNode(element));
    },
    setMetadata(uuid, { namespace, xml }) {
      const domain = domainOf(world, uuid);
      if (namespace !== METADATA_NAMESPACE) return Promise.resolve();
      const parsed = xml === undefined ? undefined : parseRecord(readMetadataXml(xml));
      if (parsed?.ok === false) throw new OstlerError('HYPERVISOR_ERROR', parsed.reason);
      domain.xml = editDomain(domain.xml, [parsed === undefined ? removeRecord() : setRecord(parsed.record)]);
      tell(world, { type: 'metadata-changed', uuid });
      return Promise.resolve();
    },
  };
}

/** libvirt adds to a running domain what it decided: the agent's state, the terminal, the screen's socket. */
function liveXml(domain: FakeDomain): string {
  if (!isActive(domain.state)) return domain.xml;
  return (domain.liveXml ?? domain.xml)
    .replace(
      /(<target type="virtio" name="org\.qemu\.guest_agent\.0")/,
      `$1 state="${domain.agentConnected ? 'connected' : 'disconnected'}"`,
    )
    .replace('<listen type="socket"', `<listen socket="/fake/${domain.name}/vnc.sock" type="socket"`);
}

type PowerPart = Part<
  | 'createDomain'
  | 'shutdownDomain'
  | 'rebootDomain'
  | 'resetDomain'
  | 'suspendDomain'
  | 'resumeDomain'
  | 'destroyDomain'
>;

function powerCalls(world: World): PowerPart {
  const { clock, manners } = world;
  const later = (ms: number, action: () => void): void => void clock.sleep(ms).then(action);
  const active = (uuid: string): FakeDomain => activeOf(world, uuid);
  const boot = (domain: FakeDomain): void => {
    domain.console.say(`fake boot of ${domain.name}\nlogin: `);
    if (manners.agentMs >= 0) later(manners.agentMs, () => connectAgent(world, domain));
  };
  const pause = (uuid: string, state: DomainState, reason: string, event: string, detail: string): Promise<void> => {
    const domain = active(uuid);
    Object.assign(domain, { state, reason });
    lifecycle(world, domain, event, detail);
    return Promise.resolve();
  };
  return {
    createDomain(uuid) {
      const domain = domainOf(world, uuid);
      if (isActive(domain.state)) throw new OstlerError('WRONG_STATE', 'domain is already running');
      const startedMs = clock.monotonic();
      const reason = domain.saved ? 'restored' : 'booted';
      Object.assign(domain, { state: 'running', reason, startedMs, liveXml: withAliases(domain.xml), saved: false });
      lifecycle(world, domain, 'started', reason);
      lifecycle(world, domain, 'resumed', 'unpaused');
      boot(domain);
      return Promise.resolve();
    },
    shutdownDomain(uuid) {
      const domain = active(uuid);
      if (!manners.ignoresShutdown) later(manners.shutdownMs, () => powerOff(world, domain, 'guest'));
      return Promise.resolve();
    },
    rebootDomain(uuid) {
      const domain = active(uuid);
      if (manners.ignoresShutdown) return Promise.resolve();
      later(manners.shutdownMs, () => {
        tell(world, { type: 'reboot', uuid, name: domain.name });
        boot(domain);
      });
      return Promise.resolve();
    },
    resetDomain(uuid) {
      const domain = active(uuid);
      tell(world, { type: 'reboot', uuid, name: domain.name });
      boot(domain);
      return Promise.resolve();
    },
    suspendDomain: (uuid) => pause(uuid, 'paused', 'user', 'suspended', 'paused'),
    resumeDomain: (uuid) => pause(uuid, 'running', 'unpaused', 'resumed', 'unpaused'),
    destroyDomain(uuid) {
      stop(world, active(uuid), 'destroyed');
      return Promise.resolve();
    },
  };
}

function saveCalls(
  world: World,
): Part<
  'managedSave' | 'hasManagedSave' | 'removeManagedSave' | 'abortJob' | 'injectNmi' | 'screenshot' | 'setAutostart'
> {
  const active = (uuid: string): FakeDomain => {
    const domain = domainOf(world, uuid);
    if (!isActive(domain.state)) throw new OstlerError('WRONG_STATE', 'domain is not running');
    return domain;
  };
  return {
    managedSave(uuid) {
      const domain = active(uuid);
      domain.saved = true;
      stop(world, domain, 'saved');
      return Promise.resolve();
    },
    hasManagedSave: (uuid) => Promise.resolve().then(() => domainOf(world, uuid).saved),
    removeManagedSave(uuid) {
      domainOf(world, uuid).saved = false;
      return Promise.resolve();
    },
    abortJob: () => Promise.reject(new OstlerError('WRONG_STATE', 'no job is active')),
    injectNmi(uuid) {
      active(uuid).console.say('NMI received\n');
      return Promise.resolve();
    },
    screenshot(uuid) {
      active(uuid);
      const data = Buffer.concat([Buffer.from('P6\n2 2\n255\n'), Buffer.alloc(12, 0x80)]);
      return Promise.resolve({ mimeType: 'image/x-portable-pixmap', data });
    },
    setAutostart(uuid, on) {
      domainOf(world, uuid).autostart = on;
      return Promise.resolve();
    },
  };
}

function connectAgent(world: World, domain: FakeDomain): void {
  if (!isActive(domain.state) || domain.agentConnected) return;
  domain.agentConnected = true;
  const { uuid, name } = domain;
  if (world.connected) tell(world, { type: 'guest-agent', uuid, name, connected: true });
}

function poolCalls(world: World): Part<'listPools' | 'ensureDirPool' | 'refreshPool'> {
  return {
    listPools: () => Promise.resolve([...world.pools.values()]),
    ensureDirPool(name, path) {
      const room = { capacityBytes: 100 * GIB, availableBytes: 90 * GIB };
      if (!world.pools.has(name)) world.pools.set(name, { name, uuid: name, type: 'dir', path, active: true, ...room });
      return Promise.resolve();
    },
    refreshPool: () => Promise.resolve(),
  };
}
