import { domainStateOf } from '../core/domain-state.js';
import type { Hypervisor } from '../hypervisor.js';
import {
  AFFECT,
  createClient,
  DESTROY,
  domainMetadataElement,
  domainOf,
  DOMAIN_XML,
  INTERFACE_ADDRESSES_SRC,
  isLibvirtError,
  REBOOT,
  setDomainMetadataElement,
  SHUTDOWN,
  START,
  STATS_FLAGS,
  UNDEFINE,
  type Client,
} from '../libvirt/index.js';
import { deviceCalls } from './libvirt-devices.js';
import { fromLibvirt } from './libvirt-errors.js';
import { named } from './libvirt-named.js';
import { libvirtEvents } from './libvirt-events.js';
import { blockCalls } from './libvirt-blocks.js';
import { ensureDirPool, listPools } from './libvirt-pools.js';
import { saveCalls } from './libvirt-saves.js';
import { STATS_GROUPS, toDomainStats } from './libvirt-stats.js';

export interface LibvirtOptions {
  readonly uri: string;
  readonly socket?: string | undefined;
  /** Hears of failures that nobody waits for. */
  readonly onError: (error: unknown) => void;
}

/** A guest that is slow to start (huge memory, slow storage) is no failure; a daemon that hangs is. */
const CREATE_MS = 300_000;
/** Force-destroying a frozen QEMU took 11 s (measured). */
const DESTROY_MS = 60_000;
const STATS_MS = 8_000;
const QUICK_MS = 10_000;

/** A daemon that hangs is noticed by this; one that dies, at once by its socket. */
const KEEPALIVE = { keepaliveIntervalMs: 1_000, keepaliveCount: 5 };
const RECONNECT = { reconnectMinMs: 50, reconnectMaxMs: 1_000 };

const SHUTDOWN_MODES = { acpi: SHUTDOWN.ACPI_POWER_BTN, agent: SHUTDOWN.GUEST_AGENT, default: SHUTDOWN.DEFAULT };
const REBOOT_MODES = { acpi: REBOOT.ACPI_POWER_BTN, agent: REBOOT.GUEST_AGENT, default: REBOOT.DEFAULT };
const ADDRESS_SOURCES = {
  lease: INTERFACE_ADDRESSES_SRC.LEASE,
  agent: INTERFACE_ADDRESSES_SRC.AGENT,
  arp: INTERFACE_ADDRESSES_SRC.ARP,
};
const UNDEFINE_ALL =
  UNDEFINE.MANAGED_SAVE | UNDEFINE.SNAPSHOTS_METADATA | UNDEFINE.NVRAM | UNDEFINE.CHECKPOINTS_METADATA;

/** The real hypervisor. It connects by itself, now and after every loss. */
export function createLibvirtHypervisor(options: LibvirtOptions): Hypervisor {
  const client = createClient({
    uri: options.uri,
    ...(options.socket === undefined ? {} : { socket: options.socket }),
    ...KEEPALIVE,
    ...RECONNECT,
    onError: options.onError,
  });
  return {
    get connected() {
      return client.state.name === 'connected';
    },
    get disconnectReason() {
      const { state } = client;
      return state.name === 'disconnected' ? (state.reason?.message ?? 'not connected yet') : '';
    },
    ...hostCalls(client),
    ...domainCalls(client),
    ...deviceCalls(client),
    ...guestCalls(client),
    ...saveCalls(client),
    ...poolCalls(client),
    ...blockCalls(client),
    events: (signal) => libvirtEvents(client, signal),
    close() {
      client.close();
      return Promise.resolve();
    },
  };
}

/** 9000000 → 9.0.0 */
function versionText(number: number): string {
  return `${Math.floor(number / 1e6)}.${Math.floor(number / 1e3) % 1000}.${number % 1000}`;
}

/** VIR_CPU_COMPARE_INCOMPATIBLE; above it are `identical` and `superset`. */
const CPU_INCOMPATIBLE = 0;

type Part<K extends keyof Hypervisor> = Pick<Hypervisor, K>;

function hostCalls(
  client: Client,
): Part<'version' | 'nodeInfo' | 'capabilities' | 'domainCapabilities' | 'canGiveCpu'> {
  return {
    async version() {
      const [{ libVer }, { hvVer }] = await named(
        'tell its version',
        Promise.all([client.call('connectGetLibVersion', {}), client.call('connectGetVersion', {})]),
      );
      return { libvirt: versionText(libVer), hypervisor: versionText(hvVer) };
    },
    async nodeInfo() {
      const info = await named('describe the host', client.call('nodeGetInfo', {}));
      return { cpus: info.cpus, memoryBytes: info.memory * 1024, model: info.model };
    },
    capabilities: async () =>
      (await named('tell capabilities', client.call('connectGetCapabilities', {}))).capabilities,
    async domainCapabilities({ arch, machine, virtType }) {
      const args = { arch, machine, virttype: virtType };
      return (await named('tell domain capabilities', client.call('connectGetDomainCapabilities', args))).capabilities;
    },
    async canGiveCpu({ arch, machine, virtType }, xmlCPU) {
      const args = { arch, machine, virttype: virtType, xmlCPU };
      const { result } = await named('compare CPUs', client.call('connectCompareHypervisorCPU', args));
      return result > CPU_INCOMPATIBLE;
    },
  };
}

type DomainPart = Part<
  | 'listDomains'
  | 'domainState'
  | 'domainInfo'
  | 'domainXml'
  | 'defineDomain'
  | 'createDomain'
  | 'shutdownDomain'
  | 'rebootDomain'
  | 'resetDomain'
  | 'suspendDomain'
  | 'resumeDomain'
  | 'destroyDomain'
  | 'undefineDomain'
  | 'metadata'
  | 'setMetadata'
>;

function domainCalls(client: Client): DomainPart {
  const stateOf = async (uuid: string): ReturnType<Hypervisor['domainState']> => {
    const args = { dom: domainOf(uuid) };
    const { state, reason } = await named('tell a domain’s state', client.call('domainGetState', args, QUICK));
    return domainStateOf(state, reason);
  };
  return {
    async listDomains() {
      const { domains } = await named('list the domains', client.call('connectListAllDomains', {}));
      const summaries = await Promise.all(
        domains.map(async (dom) => {
          try {
            const [state, { persistent }] = await Promise.all([
              stateOf(dom.uuid),
              client.call('domainIsPersistent', { dom }),
            ]);
            return { uuid: dom.uuid, name: dom.name, persistent, ...state };
          } catch (error) {
            const failure = fromLibvirt(error, 'describe a domain');
            // It went away between the listing and the question.
            if (failure.code === 'NOT_FOUND') return undefined;
            throw failure;
          }
        }),
      );
      return summaries.filter((one) => one !== undefined);
    },
    domainState: stateOf,
    async domainInfo(uuid) {
      const dom = domainOf(uuid);
      const [state, info] = await named(
        'describe a domain',
        Promise.all([stateOf(uuid), client.call('domainGetInfo', { dom }, QUICK)]),
      );
      return { ...state, cpuTimeNs: info.cpuTime, memoryBytes: info.memory * 1024, vcpus: info.nrVirtCpu };
    },
    async domainXml(uuid, { inactive = false, secure = false } = {}) {
      const flags = (inactive ? DOMAIN_XML.INACTIVE : 0) | (secure ? DOMAIN_XML.SECURE : 0);
      const args = { dom: domainOf(uuid), flags };
      return (await named('show a domain’s definition', client.call('domainGetXMLDesc', args))).xml;
    },
    async defineDomain(xml) {
      const { dom } = await named('define the domain', client.call('domainDefineXMLFlags', { xml }));
      return { uuid: dom.uuid, name: dom.name };
    },
    async createDomain(uuid, { paused = false } = {}) {
      const args = { dom: domainOf(uuid), flags: paused ? START.PAUSED : 0 };
      await named('start the domain', client.call('domainCreateWithFlags', args, { timeoutMs: CREATE_MS }));
    },
    async shutdownDomain(uuid, mode) {
      const args = { dom: domainOf(uuid), flags: SHUTDOWN_MODES[mode] };
      await named('ask the guest to shut down', client.call('domainShutdownFlags', args));
    },
    async rebootDomain(uuid, mode) {
      const args = { dom: domainOf(uuid), flags: REBOOT_MODES[mode] };
      await named('ask the guest to restart', client.call('domainReboot', args));
    },
    async resetDomain(uuid) {
      await named('reset the domain', client.call('domainReset', { dom: domainOf(uuid) }));
    },
    async suspendDomain(uuid) {
      await named('pause the domain', client.call('domainSuspend', { dom: domainOf(uuid) }));
    },
    async resumeDomain(uuid) {
      await named('resume the domain', client.call('domainResume', { dom: domainOf(uuid) }));
    },
    async destroyDomain(uuid, { graceful = false } = {}) {
      const args = { dom: domainOf(uuid), flags: graceful ? DESTROY.GRACEFUL : DESTROY.DEFAULT };
      await named('power the domain off', client.call('domainDestroyFlags', args, { timeoutMs: DESTROY_MS }));
    },
    undefineDomain: (uuid) => named('remove the domain’s definition', undefine(client, uuid)),
    async metadata(uuid, namespace) {
      return (
        (await named('read the metadata', domainMetadataElement(client, domainOf(uuid), namespace, AFFECT.CURRENT))) ??
        undefined
      );
    },
    async setMetadata(uuid, { namespace, prefix, xml, live }) {
      const element = { uri: namespace, key: prefix, xml: xml ?? null };
      const flags = AFFECT.CONFIG | (live ? AFFECT.LIVE : 0);
      await named('write the metadata', setDomainMetadataElement(client, domainOf(uuid), element, flags));
    },
  };
}

const QUICK = { timeoutMs: QUICK_MS };

async function undefine(client: Client, uuid: string): Promise<void> {
  const dom = domainOf(uuid);
  try {
    await client.call('domainUndefineFlags', { dom, flags: UNDEFINE_ALL | UNDEFINE.TPM });
  } catch (error) {
    // libvirt before 8.9 does not know the flag of the TPM's state, and removes that state by itself.
    if (!isLibvirtError(error, 'INVALID_ARG', 'ARGUMENT_UNSUPPORTED')) throw error;
    await client.call('domainUndefineFlags', { dom, flags: UNDEFINE_ALL });
  }
}

function guestCalls(
  client: Client,
): Part<'allDomainStats' | 'interfaceAddresses' | 'guestAgentCommand' | 'openConsole'> {
  return {
    async allDomainStats({ timeoutMs = STATS_MS } = {}) {
      const query = { stats: STATS_GROUPS, flags: STATS_FLAGS.ACTIVE, timeoutMs };
      return (await named('give statistics', client.allDomainStats(query))).map(toDomainStats);
    },
    async interfaceAddresses(uuid, source) {
      const args = { dom: domainOf(uuid), source: ADDRESS_SOURCES[source] };
      const { ifaces } = await named(
        'tell the guest’s addresses',
        client.call('domainInterfaceAddresses', args, { timeoutMs: QUICK_MS }),
      );
      return ifaces.map(({ hwaddr, addrs }) => ({
        mac: (hwaddr ?? '').toLowerCase(),
        addresses: addrs.map(({ addr }) => addr),
      }));
    },
    async guestAgentCommand(uuid, command, timeoutSeconds) {
      const args = { dom: domainOf(uuid), cmd: command, timeout: timeoutSeconds };
      const limits = { timeoutMs: timeoutSeconds * 1000 + 5_000 };
      return (await named('ask the guest agent', client.call('domainQemuAgentCommand', args, limits))).result ?? '';
    },
    openConsole: (uuid, { force = false } = {}) =>
      named('open the serial console', client.openConsole(domainOf(uuid), { force })),
  };
}

function poolCalls(client: Client): Part<'listPools' | 'ensureDirPool' | 'refreshPool'> {
  return {
    listPools: () => named('list the storage pools', listPools(client)),
    ensureDirPool: (name, path) => named(`make the storage pool ${name}`, ensureDirPool(client, name, path)),
    async refreshPool(name) {
      const { pool } = await named('find the pool', client.call('storagePoolLookupByName', { name }));
      await named('look through the pool', client.call('storagePoolRefresh', { pool }));
    },
  };
}
