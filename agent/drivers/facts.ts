import type { Clock } from '../../proto/kit/clock.js';
import type { Log } from '../../proto/kit/log.js';
import { runLoop } from '../../proto/kit/loop.js';
import type { HostFacts } from '../../proto/model/host.js';
import type { Host } from '../host.js';
import type { Hypervisor, MachineQuery } from '../hypervisor.js';
import { baselineCpus } from '../xml/build-cpu.js';
import { parseXml } from '../xml/document.js';
import { attribute, children, find, textOf } from '../xml/element.js';
import type { Accelerator } from './accelerator.js';
import type { Pools } from './pools.js';

/** What this host is and has. */
export interface FactsKeeper {
  /** Asks everything anew. Without libvirt it says what it can. */
  current(): Promise<HostFacts>;
  /** Tells `onChange` when something worth telling changed. */
  run(signal: AbortSignal): Promise<void>;
  onChange: (facts: HostFacts) => void;
}

interface Deps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly pools: Pools;
  readonly accelerator: Accelerator;
  readonly clock: Clock;
  readonly log: Log;
}

interface Options {
  readonly defaultBridge: string;
  readonly agentVersion: string;
}

const INTERVAL_MS = 30_000;
/** Free room changes all the time; changes below this are not told. */
const ROOM_STEP_BYTES = 256 * 1024 * 1024;

export function createFacts(options: Options, deps: Deps): FactsKeeper {
  const { hypervisor, host, pools, accelerator, clock, log } = deps;
  let told = '';
  let asked = 0;
  let newest: { readonly asked: number; readonly facts: HostFacts } | undefined;

  const gather = async (): Promise<HostFacts> => {
    const [statics, { accelerator: kind, reason }] = await Promise.all([host.facts(), accelerator.choose()]);
    const live = hypervisor.connected ? await askLibvirt(statics.arch, kind, deps) : undefined;
    const { hostname, machineId, os, kernel, arch, cpuModel, cpus, memoryBytes, bridges } = statics;
    return {
      ...{ hostname, machineId, os, kernel, arch, cpuModel, cpus, memoryBytes, bridges },
      libvirtVersion: live?.libvirtVersion ?? '',
      qemuVersion: live?.qemuVersion ?? statics.qemuVersion,
      accelerator: kind,
      acceleratorReason: reason,
      cpuModels: live?.cpuModels ?? [],
      pools: live?.pools ?? [],
      defaultPool: pools.defaultPool,
      defaultBridge: options.defaultBridge,
      agentVersion: options.agentVersion,
      uefi: statics.uefiFirmware,
    };
  };

  /**
   * Several ask at the same time (a new connection, a hello, the clock), and libvirt may answer the first one last. Facts of
   * before must not replace newer ones: a pool that was just started would be taken for inactive until the next round.
   */
  const current = async (): Promise<HostFacts> => {
    asked += 1;
    const number = asked;
    const facts = await gather();
    if (newest !== undefined && newest.asked > number) return newest.facts;
    newest = { asked: number, facts };
    return facts;
  };

  const keeper: FactsKeeper = {
    onChange: () => undefined,
    current,
    run: (signal) =>
      runLoop({ name: 'facts', intervalMs: INTERVAL_MS }, { clock, log, signal }, async () => {
        const facts = await current();
        const worth = JSON.stringify({ ...facts, pools: facts.pools.map(coarse) });
        if (worth === told) return;
        told = worth;
        keeper.onChange(facts);
      }),
  };
  return keeper;
}

function coarse<T extends { readonly availableBytes: number }>(pool: T): T {
  return { ...pool, availableBytes: Math.round(pool.availableBytes / ROOM_STEP_BYTES) };
}

type Live = Pick<HostFacts, 'libvirtVersion' | 'qemuVersion' | 'cpuModels' | 'pools'>;

async function askLibvirt(arch: string, kind: 'kvm' | 'tcg', deps: Deps): Promise<Live | undefined> {
  const { hypervisor, pools, log } = deps;
  try {
    const query = { arch, machine: 'q35', virtType: kind === 'kvm' ? 'kvm' : 'qemu' } as const;
    const [version, list, models] = await Promise.all([
      hypervisor.version(),
      pools.list({ fresh: true }),
      cpuModels(query, hypervisor),
    ]);
    return {
      libvirtVersion: version.libvirt,
      qemuVersion: version.hypervisor,
      cpuModels: models,
      pools: list.map(({ directIo: _internal, ...facts }) => facts),
    };
  } catch (error) {
    log.warn({ err: error }, 'libvirt could not be asked for the facts of the host');
    return undefined;
  }
}

/** libvirt's own models and our baselines, each asked for: what QEMU emulates differs from version to version. */
async function cpuModels(query: MachineQuery, hypervisor: Hypervisor): Promise<string[]> {
  const models = usableCpuModels(await hypervisor.domainCapabilities(query));
  const baselines: string[] = [];
  for (const [name, cpuXml] of baselineCpus(query.virtType))
    if (await hypervisor.canGiveCpu(query, cpuXml)) baselines.push(name);
  return [...baselines, ...models];
}

/** The models that libvirt says a guest can really have here. */
export function usableCpuModels(domainCapabilities: string): string[] {
  const cpu = find(parseXml(domainCapabilities).root, 'cpu');
  if (cpu === undefined) return [];
  const custom = children(cpu, 'mode').find((mode) => attribute(mode, 'name') === 'custom');
  if (custom === undefined || attribute(custom, 'supported') !== 'yes') return [];
  return children(custom, 'model')
    .filter((model) => attribute(model, 'usable') === 'yes')
    .map((model) => textOf(model) ?? '')
    .filter((name) => name !== '');
}
