import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createAgent, type Agent } from '../../../agent/agent.js';
import { agentConfigSchema, type AgentConfig } from '../../../agent/config.js';
import { createFakeWorld, type FakeWorld } from '../../../agent/fake/world.js';
import type { Host } from '../../../agent/host.js';
import type { Hypervisor } from '../../../agent/hypervisor.js';
import { join as joinController } from '../../../agent/join.js';
import { createLayout } from '../../../agent/layout.js';
import { formatJoinToken } from '../../../proto/join-token.js';
import { systemClock } from '../../../proto/kit/clock.js';
import { noFaults, type FaultPoint } from '../../../proto/kit/fault.js';
import { createLog, silentLog } from '../../../proto/kit/log.js';
import { startFakeController, type FakeController } from './fake-controller.js';
import { createTestCa, type TestCa } from './test-ca.js';

export interface RunningAgent {
  readonly agent: Agent;
  /** Ends it as SIGTERM does. */
  stop(): Promise<void>;
}

export interface AgentRig {
  readonly ca: TestCa;
  readonly controller: FakeController;
  readonly config: AgentConfig;
  readonly directory: string;
  start(parts?: { hypervisor?: Hypervisor; host?: Host; fault?: FaultPoint }): Promise<RunningAgent>;
  readonly world: FakeWorld;
  stop(): Promise<void>;
}

const log = process.env['TEST_LOG'] === undefined ? silentLog : createLog({ name: 'test', level: 'debug' });

/** A controller, a host that joined it, and agents to start on it; everything in one temporary directory. */
export async function createAgentRig(changes: Record<string, unknown> = {}): Promise<AgentRig> {
  const directory = mkdtempSync(join(tmpdir(), 'ostler-agent-'));
  const ca = await createTestCa();
  const controller = await startFakeController(ca);
  const config = agentConfigSchema.parse({
    dataDir: join(directory, 'data'),
    runDir: join(directory, 'run'),
    pools: [{ name: 'default', path: join(directory, 'pool') }],
    metricsIntervalMs: 200,
    ...changes,
  });
  const { identityFile } = createLayout(config.dataDir);
  const { address, secret } = controller;
  const token = formatJoinToken({ address, caFingerprint: ca.fingerprint, host: 'h1', secret });
  await joinController({ token, identityFile });
  const world = createFakeWorld({ clock: systemClock });
  const running = new Set<RunningAgent>();
  return {
    ca,
    controller,
    config,
    directory,
    world,
    async start(parts = {}) {
      const ending = new AbortController();
      const deps = {
        hypervisor: parts.hypervisor ?? world.hypervisor,
        host: parts.host ?? world.host,
        fault: parts.fault ?? noFaults,
        clock: systemClock,
        log,
        version: '0.0.0',
        random: () => 0,
      };
      const agent = await createAgent(config, deps, ending.signal);
      const work = agent.run(ending.signal);
      work.catch(() => undefined);
      const links = controller.links;
      await controller.until('the link', () => (controller.links > links && agent.link.up ? true : undefined));
      const one: RunningAgent = {
        agent,
        async stop() {
          running.delete(one);
          ending.abort(new Error('the agent is ending'));
          await work;
        },
      };
      running.add(one);
      return one;
    },
    async stop() {
      for (const one of running) await one.stop();
      await controller.stop();
      rmSync(directory, { recursive: true, force: true });
    },
  };
}
