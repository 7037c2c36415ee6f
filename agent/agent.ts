import { randomUUID } from 'node:crypto';
import type { Clock } from '../proto/kit/clock.js';
import type { FaultPoint } from '../proto/kit/fault.js';
import type { Log } from '../proto/kit/log.js';
import { runLoop } from '../proto/kit/loop.js';
import type { AgentConfig } from './config.js';
import { createAccelerator } from './drivers/accelerator.js';
import { planChange } from './drivers/change-plan.js';
import { createConsoles } from './drivers/console.js';
import { createDefinitions } from './drivers/definitions.js';
import { createFacts } from './drivers/facts.js';
import { createImages } from './drivers/images.js';
import { createIntents } from './drivers/intents.js';
import { createExecutors } from './drivers/lifecycle.js';
import { runMetrics } from './drivers/metrics.js';
import { createObserver } from './drivers/observe.js';
import { createPools } from './drivers/pools.js';
import type { Host } from './host.js';
import type { Hypervisor, HypervisorEvent } from './hypervisor.js';
import { readIdentity } from './identity.js';
import { openJournal } from './journal.js';
import { createLayout } from './layout.js';
import { createCommandRunner } from './link/commands.js';
import { createLink, type Link } from './link/link.js';
import { openOutbox } from './outbox.js';
import { runRenewal } from './renewal.js';

export interface AgentDeps {
  readonly hypervisor: Hypervisor;
  readonly host: Host;
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
  readonly version: string;
  /** 0 to 1; for pauses. */
  readonly random: () => number;
}

export interface Agent {
  /** Works until the signal aborts; then waits for what must not be cut off. */
  run(signal: AbortSignal): Promise<void>;
  readonly link: Link;
}

const PRUNE_MS = 600_000;
const HOUR_MS = 3_600_000;
/** How long the first hello waits for libvirt and the pools. */
const PREPARE_MS = 3_000;

/** Puts the parts together. Nothing runs before `run`. */
export async function createAgent(config: AgentConfig, deps: AgentDeps, ending: AbortSignal): Promise<Agent> {
  const { hypervisor, host, clock, log, fault } = deps;
  const layout = createLayout(config.dataDir);
  const { bootId, machineId } = await host.facts();
  const { retentionHours, maxEntries } = config.journal;
  const journalOptions = {
    directory: layout.journalDirectory,
    bootId,
    retentionMs: retentionHours * HOUR_MS,
    maxEntries,
  };
  const journal = await openJournal(journalOptions, { clock, fault });
  const outbox = await openOutbox(layout.outboxFile, { log, fault });

  const intents = createIntents();
  const accelerator = createAccelerator(config.accelerator, { host, log });
  const defaultPool = config.defaultPool ?? config.pools[0]?.name ?? '';
  const pools = createPools({ pools: config.pools, defaultPool }, { hypervisor, host, clock, log });
  const observer = createObserver({ hypervisor, outbox, intents, clock, log });
  const consoles = createConsoles({ hypervisor, host, log });
  const factsOptions = { defaultBridge: config.defaultBridge, agentVersion: deps.version };
  const facts = createFacts(factsOptions, { hypervisor, host, pools, accelerator, clock, log });
  const images = createImages(
    { machineId },
    { host, clock, log, fault, fetch: (image, offset, signal) => link.fetchImage(image, offset, signal) },
  );
  const chains = { hypervisor, host, pools, layout, intents, clock, log, fault };
  const executors = createExecutors({
    ...{ ...chains, images, accelerator },
    definitions: createDefinitions(hypervisor),
    defaultBridge: config.defaultBridge,
    qemuLogDirectory: config.libvirt.qemuLogDirectory,
    closeConsoles: (uuid) => consoles.close(uuid),
  });
  const runner = createCommandRunner({
    ...{ journal, executors, bootId, clock, log, fault, signal: ending },
    report: (uuid) => observer.report(uuid),
    onResult: (result) => link.result(result),
    onProgress: (command, percent, detail) => link.progress(command, percent, detail),
  });
  const instanceId = randomUUID();
  let metricsIntervalMs = config.metricsIntervalMs;
  const link: Link = createLink({
    ...{ journal, outbox, runner, clock, log, random: deps.random },
    query: {
      ...{ hypervisor, observer, consoles, log, chains },
      planChange: (change) => {
        const { defaultBridge } = config;
        return planChange(change, { hypervisor, host, pools, layout, accelerator, defaultBridge });
      },
    },
    identity: () => readIdentity(layout.identityFile),
    hello: async () => ({
      ...{ instanceId, bootId, facts: await prepared.then(() => facts.current()) },
      // Last, so that it is as fresh as can be.
      inventory: observer.inventory(),
      running: runner.running(),
    }),
    onMetricsInterval: (ms) => (metricsIntervalMs = ms),
  });
  facts.onChange = (now) => link.facts(now);
  // A host whose pools are still being made would be offered to VMs that it must refuse. libvirt may be away for long: then
  // the link comes up without it, and says so.
  let onPrepared: () => void = () => undefined;
  const prepared = new Promise<void>((resolve) => (onPrepared = resolve));

  const prepareHost = async (signal: AbortSignal): Promise<void> => {
    for await (const event of hypervisor.events(signal)) await onConnection(event);
  };
  const onConnection = async (event: HypervisorEvent): Promise<void> => {
    if (event.type !== 'connected') return;
    try {
      await pools.ensureConfigured();
      link.facts(await facts.current());
    } catch (error) {
      log.error({ err: error }, 'the storage pools of the config could not be made ready');
    }
    onPrepared();
    recoverOnce();
  };
  let recovered = false;
  const recoverOnce = (): void => {
    if (recovered) return;
    recovered = true;
    runner.recover();
  };

  return {
    link,
    async run(signal) {
      // An agent that was not let in yet has nothing to do; say so at once instead of dialling in vain.
      await readIdentity(layout.identityFile);
      await accelerator.choose();
      clock.sleep(PREPARE_MS, signal).then(onPrepared, onPrepared);
      const loops = [
        observer.run(signal),
        prepareHost(signal),
        link.run(signal),
        facts.run(signal),
        runRenewal(
          layout.identityFile,
          { clock, log, client: (s) => link.client(s), redial: () => link.redial() },
          signal,
        ),
        runLoop({ name: 'prune', intervalMs: PRUNE_MS }, { clock, log, signal }, async () => {
          await journal.prune();
        }),
        runMetricsAt(() => metricsIntervalMs, signal),
      ];
      await Promise.all(loops);
      await runner.idle();
      await outbox.flush();
      await journal.close();
      await hypervisor.close();
    },
  };

  /** The controller may want another interval than the config says: the loop is begun anew then. */
  async function runMetricsAt(interval: () => number, signal: AbortSignal): Promise<void> {
    const onSample: Parameters<typeof runMetrics>[1]['onSample'] = (sample) => {
      link.metrics(sample);
      if (interval() !== running) scope.abort();
    };
    let running = interval();
    let scope = new AbortController();
    while (!signal.aborted) {
      running = interval();
      scope = new AbortController();
      const both = AbortSignal.any([scope.signal, signal]);
      await runMetrics(running, { hypervisor, host, observer, clock, log, onSample }, both);
    }
  }
}
