#!/usr/bin/env node
import { Command } from 'commander';
import { systemClock } from '../proto/kit/clock.js';
import { OstlerError } from '../proto/kit/errors.js';
import { faultsFromEnvironment } from '../proto/kit/fault.js';
import { createLog } from '../proto/kit/log.js';
import { createNotifier } from '../proto/kit/notify.js';
import { createAgent } from './agent.js';
import { loadAgentConfig, type AgentConfig } from './config.js';
import { createLibvirtHypervisor } from './drivers/libvirt-hypervisor.js';
import { createFakeWorld } from './fake/world.js';
import type { Host } from './host.js';
import type { Hypervisor } from './hypervisor.js';
import { join } from './join.js';
import { createLayout } from './layout.js';
import { createLinuxHost } from './linux/host.js';
import { readVersion } from './version.js';

const DEFAULT_CONFIG = '/etc/ostler/agent.yaml';
const EXIT_MS = 2_000;

interface Flags {
  readonly config?: string;
  readonly fake?: boolean;
}

/** Composition root: the real parts, or the fake ones, and the process around them. */
async function main(argv: readonly string[]): Promise<void> {
  const version = readVersion();
  const program = new Command('ostler-agent')
    .description('Looks after the guests of this host for an Ostler controller.')
    .version(version)
    .option('--config <file>', `config file (default: ${DEFAULT_CONFIG}, which need not exist)`)
    .option('--fake', 'pretend to be a host: no libvirt, no QEMU, nothing on disk but the journal');
  program
    .command('run', { isDefault: true })
    .description('the daemon (what the systemd unit starts)')
    .action(async () => runDaemon(await load(program.opts<Flags>()), program.opts<Flags>(), version));
  program
    .command('join')
    .description('enrol this host with the token that `ostler host add` printed')
    .argument('<token>')
    .option('--address <host:port>', 'where the controller is, when not at the token’s address')
    .action(async (token: string, options: { address?: string }) => {
      const config = await load(program.opts<Flags>());
      const { identityFile } = createLayout(config.dataDir);
      const identity = await join({ token, address: options.address, identityFile });
      process.stdout.write(`Joined as ${identity.host}. Next: systemctl enable --now ostler-agent\n`);
    });
  await program.parseAsync(argv);
}

function load({ config }: Flags): Promise<AgentConfig> {
  return loadAgentConfig(config ?? DEFAULT_CONFIG, { optional: config === undefined });
}

async function runDaemon(config: AgentConfig, flags: Flags, version: string): Promise<void> {
  const log = createLog({ name: 'ostler-agent', level: config.logLevel });
  const notifier = createNotifier(process.env, log);
  const ending = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.once(name, () => {
      log.info({ signal: name }, 'ending');
      void notifier.stopping();
      ending.abort(new Error(`the agent is ending (${name})`));
    });
  const { hypervisor, host } = worldOf(config, flags, (error) => log.warn({ err: error }, 'libvirt client'));
  const fault = faultsFromEnvironment(process.env);
  const deps = { hypervisor, host, clock: systemClock, log, fault, version, random: Math.random };
  const agent = await createAgent(config, deps, ending.signal);
  log.info({ version, fake: flags.fake === true, dataDir: config.dataDir }, 'ostler-agent starts');
  const work = agent.run(ending.signal);
  void notifier.ready('looking after the guests').then(() => notifier.watchdog(systemClock, ending.signal));
  await work;
  // Whatever still hangs (a call into a frozen libvirt) is not worth waiting for: its command is in the journal.
  setTimeout(() => process.exit(), EXIT_MS).unref();
}

function worldOf(
  config: AgentConfig,
  flags: Flags,
  onError: (error: unknown) => void,
): { readonly hypervisor: Hypervisor; readonly host: Host } {
  if (flags.fake === true) return createFakeWorld({ clock: systemClock });
  return { hypervisor: createLibvirtHypervisor({ ...config.libvirt, onError }), host: createLinuxHost() };
}

function printFailure(error: unknown): void {
  const { message } = error as Error;
  const remedy = error instanceof OstlerError ? error.remedy : undefined;
  process.stderr.write(`ostler-agent: ${message}\n${remedy === undefined ? '' : `${remedy}\n`}`);
  process.exitCode = 1;
}

await main(process.argv).catch(printFailure);
