#!/usr/bin/env node
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { systemClock } from '../proto/kit/clock.js';
import { loadConfig } from '../proto/kit/config.js';
import { toOstlerError } from '../proto/kit/errors.js';
import { faultsFromEnvironment } from '../proto/kit/fault.js';
import { createLog, type Log } from '../proto/kit/log.js';
import { createNotifier } from '../proto/kit/notify.js';
import { openFoundation, startController, type ControllerDeps } from './compose.js';
import { controllerConfigSchema, type ControllerConfig } from './config.js';

/** The controller daemon: the composition root. `run` is what systemd starts; `init` only makes what the first start makes. */
const DEFAULT_CONFIG = '/etc/ostler/controller.yaml';
/** Milliseconds from SIGTERM to the end, whatever happens. */
const STOP_MS = 10_000;
const USAGE = `usage: ostler-controller [run|init|version] [--config FILE]

  run      serve until SIGTERM (default)
  init     make the CA, the server certificate and the admin token, and say where they are
  version  print the version

  --config FILE  default ${DEFAULT_CONFIG}
`;

interface Arguments {
  readonly command: string;
  readonly config: string | undefined;
}

function readArguments(argv: readonly string[]): Arguments | undefined {
  try {
    const { values, positionals } = parseArgs({
      args: [...argv],
      options: { config: { type: 'string' }, help: { type: 'boolean', short: 'h' } },
      allowPositionals: true,
    });
    if (values.help === true || positionals.length > 1) return undefined;
    return { command: positionals[0] ?? 'run', config: values.config };
  } catch {
    return undefined;
  }
}

function packageVersion(): string {
  const text = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function readConfig(path: string | undefined): Promise<ControllerConfig> {
  // The default file may be missing: then everything has its default.
  return loadConfig(path ?? DEFAULT_CONFIG, controllerConfigSchema, { optional: path === undefined });
}

async function run(config: ControllerConfig, deps: ControllerDeps): Promise<void> {
  const { log, clock } = deps;
  const stopping = new AbortController();
  for (const name of ['SIGTERM', 'SIGINT'] as const)
    process.on(name, () => {
      log.info({ signal: name }, 'stopping');
      stopping.abort();
      // A connection that will not close must not keep the next start from the store's lock.
      setTimeout(() => process.exit(1), STOP_MS).unref();
    });
  const notifier = createNotifier(process.env, log);
  const controller = await startController(config, deps);
  await notifier.ready(`API on ${config.api.listen}, agents on ${config.link.listen}`);
  const watchdog = notifier.watchdog(clock, stopping.signal);
  if (!stopping.signal.aborted)
    await new Promise((resolve) => stopping.signal.addEventListener('abort', resolve, { once: true }));
  await notifier.stopping();
  await controller.close();
  await watchdog;
  log.info({}, 'stopped');
}

async function init(config: ControllerConfig, deps: ControllerDeps): Promise<void> {
  const foundation = await openFoundation(config, deps);
  await foundation.close();
  process.stdout.write(
    `CA certificate: ${config.dataDir}/ca/ca.pem (SHA-256 ${foundation.authority.fingerprint})\n` +
      `Admin token:    ${foundation.adminTokenPath}\n` +
      `Next: start the controller, then\n` +
      `  ostler login --address ${config.publicName}:${config.api.listen.replace(/^.*:/, '')} ` +
      `--ca ${config.dataDir}/ca/ca.pem --token-file ${foundation.adminTokenPath}\n`,
  );
}

async function main(): Promise<number> {
  const args = readArguments(process.argv.slice(2));
  const commands: Readonly<Record<string, (config: ControllerConfig, deps: ControllerDeps) => Promise<void>>> = {
    run,
    init,
  };
  if (args?.command === 'version') {
    process.stdout.write(`${packageVersion()}\n`);
    return 0;
  }
  const command = args === undefined || !Object.hasOwn(commands, args.command) ? undefined : commands[args.command];
  if (args === undefined || command === undefined) {
    process.stderr.write(USAGE);
    return 2;
  }
  let log: Log = createLog({ name: 'ostler-controller' });
  try {
    const config = await readConfig(args.config);
    log = createLog({ name: 'ostler-controller', level: config.logLevel });
    const fault = faultsFromEnvironment(process.env);
    await command(config, { clock: systemClock, log, fault, version: packageVersion() });
    return 0;
  } catch (thrown) {
    const error = toOstlerError(thrown);
    log.error({ err: error.code === 'INTERNAL' ? error.cause : undefined, code: error.code }, error.message);
    process.stderr.write(
      `ostler-controller: ${error.message}\n${error.remedy === undefined ? '' : `${error.remedy}\n`}`,
    );
    return 1;
  }
}

process.exitCode = await main();
