import { Metadata } from '@grpc/grpc-js';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stringify } from 'yaml';
import { createClient, type TypedClient } from '../../proto/client.js';
import type { Methods, Service } from '../../proto/service.js';
import { tlsDial } from '../../proto/tls-dial.js';
import { guest } from '../guest/guest.js';
import { Lab } from '../lab/lab.js';
import { createDaemon, type Daemon } from './daemon.js';
import { eventually } from './eventually.js';

/** The compiled programs; this file runs from dist/test/e2e/. */
const DIST = fileURLToPath(new URL('../../', import.meta.url));
export const CLI = join(DIST, 'controller/cli/main.js');

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

export interface Cluster {
  readonly lab: Lab;
  /** Files of this cluster, seen at the same path everywhere. */
  readonly directory: string;
  readonly controller: Daemon;
  agent(host: string): Daemon;
  /** Runs the command line in the controller's network, as an admin unless `env` says otherwise. */
  ostler(
    args: readonly string[],
    options?: { input?: string; env?: Readonly<Record<string, string>> },
  ): Promise<CliResult>;
  /** The same, and its standard output parsed. @throws Error with stderr when it fails */
  json<T = unknown>(args: readonly string[]): Promise<T>;
  client<M extends Methods>(service: Service<M>, token?: string): TypedClient<M>;
  /** 127.0.0.1:port of the API, and the CA that signed it. */
  readonly apiAddress: string;
  readonly caPem: Buffer;
  readonly token: string;
  /** Joins a host (if it has not) and starts its agent; resolves when the controller shows it ONLINE. */
  join(host: string): Promise<void>;
  online(host: string): Promise<void>;
  /** Imports the test guest as images `guest` (disk) and `guest-iso`. */
  importGuest(): Promise<void>;
  /** Files in a host's default pool. */
  poolFiles(host: string): Promise<string[]>;
  /** Names of the domains that a host's libvirt knows. */
  domains(host: string): Promise<string[]>;
  down(): Promise<void>;
}

export interface ClusterOptions {
  readonly hosts?: number;
  readonly controllerEnv?: Readonly<Record<string, string>>;
  /** Keys of controller.yaml beside those that the lab needs. */
  readonly controllerConfig?: Readonly<Record<string, unknown>>;
  /** How long deleted VMs are kept. */
  readonly retentionSeconds?: number;
}

/** A controller in the lab's fabric and an agent on each host: real libvirt, real QEMU, one directory. */
export async function startCluster(options: ClusterOptions = {}): Promise<Cluster> {
  const lab = await Lab.up({ hosts: options.hosts ?? 1 });
  try {
    return await assemble(lab, options);
  } catch (error) {
    await lab.down();
    throw error;
  }
}

async function assemble(lab: Lab, options: ClusterOptions): Promise<Cluster> {
  const directory = join(lab.directory, 'cluster');
  const dataDir = join(directory, 'controller');
  await mkdir(directory, { recursive: true });
  const config = join(directory, 'controller.yaml');
  await writeFile(
    config,
    stringify({
      dataDir,
      publicName: lab.address('fabric'),
      ...(options.retentionSeconds === undefined ? {} : { vmRetentionSeconds: options.retentionSeconds }),
      api: { listen: '0.0.0.0:7443' },
      link: { listen: '0.0.0.0:7444' },
      http: { listen: '127.0.0.1:7480', tls: false },
      ...options.controllerConfig,
    }),
  );
  const node = process.execPath;
  const controller = createDaemon(
    {
      name: 'controller',
      place: 'fabric',
      argv: [node, join(DIST, 'controller/main.js'), 'run', '--config', config],
      log: join(directory, 'controller.log'),
    },
    lab,
  );
  await controller.start(options.controllerEnv ?? {});
  const read = (file: string): Promise<Buffer> => readFile(join(dataDir, file));
  const token = (await eventually('the admin token', 20, () => read('admin.token'))).toString().trim();
  const caPem = await eventually('the CA', 5, () => read('ca/ca.pem'));
  const forward = await lab.forward('fabric', 7443);
  const apiAddress = `127.0.0.1:${forward.port}`;
  const cliEnv = {
    OSTLER_ADDRESS: `${lab.address('fabric')}:7443`,
    OSTLER_TOKEN: token,
    OSTLER_CA: join(dataDir, 'ca/ca.pem'),
    OSTLER_CONFIG: join(directory, 'no-cli.yaml'),
  };

  const ostler: Cluster['ostler'] = async (args, { input = '', env = {} } = {}) => {
    const process = await lab.spawn('fabric', [node, CLI, ...args], { env: { ...cliEnv, ...env } });
    const output = { stdout: '', stderr: '' };
    process.child.stdout?.setEncoding('utf8').on('data', (text: string) => (output.stdout += text));
    process.child.stderr?.setEncoding('utf8').on('data', (text: string) => (output.stderr += text));
    process.child.stdin?.on('error', () => undefined);
    process.child.stdin?.end(input);
    const closed = new Promise((resolve) => process.child.once('close', resolve));
    const { code } = await process.ended;
    await closed;
    return { code, ...output };
  };
  const json = async <T>(args: readonly string[]): Promise<T> => {
    const result = await ostler([...args, '-o', 'json']);
    if (result.code !== 0) throw new Error(`ostler ${args.join(' ')}: exit ${result.code}: ${result.stderr}`);
    return JSON.parse(result.stdout) as T;
  };

  const agents = new Map<string, Daemon>();
  const clients: { close(): void }[] = [];
  const agent = (host: string): Daemon => {
    const found = agents.get(host);
    if (found === undefined) throw new Error(`${host} has not joined`);
    return found;
  };
  const online = (host: string): Promise<void> =>
    eventually(`${host} online`, 30, async () => {
      const { state } = await json<{ state: string }>(['host', 'show', host]);
      if (state !== 'ONLINE') throw new Error(`it is ${state}`);
    });

  const join_ = async (host: string): Promise<void> => {
    const agentConfig = join(directory, `${host}.yaml`);
    if (!agents.has(host)) {
      await writeFile(
        agentConfig,
        stringify({
          dataDir: '/var/lib/libvirt/ostler-agent',
          runDir: '/run/ostler',
          libvirt: { uri: 'qemu:///system' },
          pools: [{ name: 'local', path: '/var/lib/libvirt/images' }],
          defaultPool: 'local',
          defaultBridge: 'br-vm',
        }),
      );
      const added = await ostler(['host', 'add', host, '-o', 'name']);
      if (added.code !== 0) throw new Error(`host add: ${added.stderr}`);
      const main = join(DIST, 'agent/main.js');
      await lab.exec(host, [node, main, 'join', added.stdout.trim(), '--config', agentConfig]);
      agents.set(
        host,
        createDaemon(
          {
            name: `agent ${host}`,
            place: host,
            argv: [node, main, 'run', '--config', agentConfig],
            log: join(directory, `${host}.log`),
          },
          lab,
        ),
      );
    }
    if (!agent(host).running()) await agent(host).start();
    await online(host);
  };

  return {
    lab,
    directory,
    controller,
    agent,
    ostler,
    json,
    apiAddress,
    caPem,
    token,
    online,
    join: join_,
    client: (service, withToken = token) => {
      const metadata = new Metadata();
      if (withToken !== '') metadata.set('authorization', `Bearer ${withToken}`);
      const client = createClient(service, {
        ...tlsDial(apiAddress, { caPem: caPem.toString() }),
        metadata,
      });
      clients.push(client);
      return client;
    },
    importGuest: async () => {
      const { qcow2, iso } = await guest();
      for (const [file, name] of [
        [qcow2, 'guest'],
        [iso, 'guest-iso'],
      ] as const) {
        const result = await ostler(['image', 'import', file, '--name', name, '--os', 'linux']);
        if (result.code !== 0) throw new Error(`image import ${name}: ${result.stderr}`);
      }
    },
    poolFiles: async (host) => {
      const { stdout } = await lab.exec(host, ['ls', '-A', '/var/lib/libvirt/images']);
      // The pool's own mark, by which hosts recognise shared storage, stays as long as the pool does.
      return stdout.split('\n').filter((name) => name !== '' && name !== '.ostler-pool-id');
    },
    domains: async (host) => {
      const { stdout } = await lab.exec(host, ['virsh', '-q', 'list', '--all', '--name']);
      return stdout.split('\n').filter((name) => name !== '');
    },
    down: async () => {
      for (const client of clients) client.close();
      for (const daemon of agents.values()) await daemon.kill();
      await controller.kill();
      await forward.close();
      await lab.down();
    },
  };
}
