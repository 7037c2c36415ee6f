/** The whole API on loopback: real TLS, gRPC, HTTP, engine; a memory store and simulated agents behind the seam. */
import { Metadata, ServerCredentials } from '@grpc/grpc-js';
import { createHash } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { Duplex } from 'node:stream';
import { createClient, type TypedClient } from '../../proto/client.js';
import { ostler } from '../../proto/gen/ostler.js';
import { systemClock } from '../../proto/kit/clock.js';
import { sha512Crypt } from '../../proto/kit/crypt.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { silentLog } from '../../proto/kit/log.js';
import type { DomainReport } from '../../proto/model/host.js';
import type { HostVolume } from '../../proto/model/volume.js';
import type { SnapshotList } from '../../proto/model/snapshot.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { Methods, Service } from '../../proto/service.js';
import { imageService, operationService, vmService } from '../../proto/services.js';
import { tlsDial } from '../../proto/tls-dial.js';
import { createAudit } from '../../controller/api/audit.js';
import { createBridge } from '../../controller/api/http/bridge.js';
import { createConsole } from '../../controller/api/http/console.js';
import { createMetricsGuard } from '../../controller/api/http/metrics-guard.js';
import { renderMetrics } from '../../controller/api/http/metrics.js';
import { startHttp } from '../../controller/api/http/server.js';
import { loadStaticFiles } from '../../controller/api/http/static.js';
import { createRebuild } from '../../controller/api/rebuild.js';
import { createApiServer } from '../../controller/api/server.js';
import { createServices, type ApiDeps } from '../../controller/api/services.js';
import { createThrottle, DEFAULT_THROTTLE } from '../../controller/auth/throttle.js';
import { createTickets } from '../../controller/auth/tickets.js';
import { createTokens } from '../../controller/auth/tokens.js';
import { openAuthority } from '../../controller/ca/authority.js';
import { createHostIdentity } from '../../controller/ca/host-identity.js';
import { openRegister } from '../../controller/ca/register.js';
import { createEngine } from '../../controller/engine/engine.js';
import type { HostView, RecordPlan } from '../../controller/engine/env.js';
import { newId } from '../../controller/engine/ids.js';
import { openLibrary } from '../../controller/images/library.js';
import { createMemoryEventLog } from '../../controller/store/event-memory.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import { createFakeAgents, type FakeAgents } from '../engine/fake-agents.js';
import { aHost, GIB, id, someFacts } from '../store/documents.js';

export interface ListedRecords {
  readonly records: readonly VmRecord[];
  readonly unreadable?: Readonly<Record<string, string>>;
  readonly domains?: readonly DomainReport[];
}

export interface Rig {
  readonly directory: string;
  readonly deps: ApiDeps;
  readonly agents: FakeAgents;
  readonly apiAddress: string;
  readonly httpUrl: string;
  readonly caPem: string;
  readonly tokens: { readonly admin: string; readonly operator: string; readonly viewer: string };
  client<M extends Methods>(service: Service<M>, token?: string): TypedClient<M>;
  /** What a host's domains would say in a rebuild. */
  readonly listed: Map<string, ListedRecords>;
  /** What agents say lies in their pools, by host id. */
  readonly volumes: Map<string, readonly HostVolume[]>;
  /** What agents measured, by host id. */
  readonly usage: Map<string, Partial<Pick<HostView, 'usage' | 'vmUsage'>>>;
  /** The next openTunnel is refused so. */
  tunnelRefusal: OstlerError | undefined;
  /** What every agent says of a change of a VM. */
  recordPlan: RecordPlan;
  /** Agent's ends of the console tunnels, in the order in which they were opened. */
  readonly tunnels: Duplex[];
  /** The last tunnel ends with an error, as after an error frame of the agent. */
  breakTunnel(error: OstlerError): void;
  /** False: commands wait for `agents.runNext`. */
  autoRun: boolean;
  /** A ready raw image of so many bytes. */
  anImage(name: string, changes?: ostler.v1.CreateImageRequest.$Properties): Promise<ostler.v1.Image>;
  finished(operation: ostler.v1.Operation): Promise<ostler.v1.Operation>;
  close(): Promise<void>;
}

export const MIB = 1024 * 1024;

/** What every host says of every VM: `plain` and, after it, `ram` with memory. Told children first, as no agent must not. */
function someSnapshots(): SnapshotList['snapshots'] {
  const common = { description: '', tags: {}, state: 'ready', quiesced: false } as const;
  const disks = [{ name: 'root', file: 'a.qcow2', sizeBytes: MIB, deltaBytes: 512 }];
  return [
    {
      ...common,
      id: 'snap-0000000002',
      name: 'ram',
      parent: 'snap-0000000001',
      time: 2,
      disks,
      memory: true,
      memoryBytes: 9,
    },
    { ...common, id: 'snap-0000000001', name: 'plain', parent: '', time: 1, disks, memory: false, memoryBytes: 0 },
  ];
}

/** A VM that needs no image. */
export function blankVm(name: string, spec: ostler.v1.VmSpec.$Properties = {}): ostler.v1.CreateVmRequest.$Properties {
  return {
    name,
    spec: {
      memory: { sizeBytes: 512 * MIB },
      disks: [{ name: 'root', sizeBytes: GIB }],
      nics: [{ name: 'nic0' }],
      ...spec,
    },
  };
}

export function sha256(bytes: Uint8Array): string {
  return createHash('sha256').update(bytes).digest('hex');
}

export async function startRig(options: { readonly hosts?: number } = {}): Promise<Rig> {
  const directory = await mkdtemp('/tmp/ostler-api.');
  const clock = systemClock;
  const log = silentLog;
  const store = createMemoryStore();
  const events = createMemoryEventLog({}, { clock });
  const agents = createFakeAgents({ clock });
  const listed = new Map<string, ListedRecords>();
  const snapshots: SnapshotList = { snapshots: someSnapshots(), now: 'snap-0000000002', changedBytes: 4096 };
  const tunnels: Duplex[] = [];
  const usage: Rig['usage'] = new Map();
  const volumes: Rig['volumes'] = new Map();
  let lastTunnel: Duplex | undefined;
  for (let n = 1; n <= (options.hosts ?? 1); n += 1) {
    await store.commit([{ kind: 'host', id: id('h', n), expect: 0, put: aHost(n) }]);
    agents.add(id('h', n), someFacts());
    agents.connect(id('h', n));
  }
  const engine = createEngine({ tickMs: 50 }, { store, events, agents, clock, log });
  const authority = await openAuthority(
    { folder: join(directory, 'ca'), names: ['localhost', '127.0.0.1'], hostCertificateDays: 30 },
    { clock },
  );
  const register = await openRegister(join(directory, 'ca/hosts'));
  const identity = createHostIdentity({ authority, register, store, clock, log });
  const images = await openLibrary(join(directory, 'images'), { store, clock, log });
  const tokens = createTokens({ store, clock });
  const secretOf = async (name: string, role: 'viewer' | 'operator' | 'admin'): Promise<string> =>
    (await tokens.create({ name, role, ttlSeconds: 0 })).secret;
  const seam = {
    ...agents,
    inspect: (hostId: string, uuid: string) => {
      const domain = agents.view(hostId)?.domains?.get(uuid);
      if (domain === undefined) return Promise.reject(new OstlerError('NOT_FOUND', 'no such domain'));
      const { state, reason } = domain;
      return Promise.resolve({ domainState: state, domainReason: reason, cpuTimeNs: 5, memoryBytes: MIB, vcpus: 1 });
    },
    listSnapshots: (hostId: string) =>
      agents.view(hostId)?.online === true
        ? Promise.resolve(snapshots)
        : Promise.reject(new OstlerError('HOST_UNREACHABLE', `${hostId} is away.`)),
    listVolumes: (hostId: string) =>
      agents.view(hostId)?.online === true
        ? Promise.resolve(volumes.get(hostId) ?? [])
        : Promise.reject(new OstlerError('HOST_UNREACHABLE', `${hostId} is away.`)),
    listRecords: (hostId: string) => {
      const found = listed.get(hostId);
      if (found === undefined) return Promise.reject(new OstlerError('HOST_UNREACHABLE', `${hostId} is away.`));
      return Promise.resolve({ unreadable: {}, domains: [], ...found });
    },
    view: (hostId: string) => {
      const view = agents.view(hostId);
      return view === undefined ? undefined : { ...view, ...usage.get(hostId) };
    },
    planRecord: () => Promise.resolve(rig.recordPlan),
    openTunnel: () => {
      if (rig.tunnelRefusal !== undefined) return Promise.reject(rig.tunnelRefusal);
      const [near, far] = duplexPair();
      tunnels.push(far);
      lastTunnel = near;
      return Promise.resolve(near);
    },
  };
  const throttle = createThrottle({ ...DEFAULT_THROTTLE, delayMs: 50 }, { clock });
  const deps: ApiDeps = {
    store,
    events,
    identity,
    images,
    clock,
    log,
    newId,
    tokens,
    throttle,
    agents: seam,
    operations: engine.operations,
    view: () => engine.view(),
    tickets: createTickets({ clock }),
    audit: createAudit({ events, store, log }),
    rebuild: createRebuild({ store, agents: seam, images, clock, log, vmRetentionMs: 86_400_000 }),
    hashPassword: (password) => sha512Crypt(password),
    caPem: authority.caPem,
    caFingerprint: authority.fingerprint,
    apiAddress: '127.0.0.1:7443',
    linkAddress: '127.0.0.1:7444',
    publicUrl: 'http://127.0.0.1:7480',
    version: '0.0.0-test',
    storeName: 'memory',
    startTime: clock.now(),
  };
  const services = createServices(deps);
  const api = createApiServer(services);
  const { keyPem, chainPem } = authority.server;
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(chainPem) };
  const port = await api.listen('127.0.0.1:0', ServerCredentials.createSsl(null, [pair]));
  api.health.setServing(true);
  const stopping = new AbortController();
  const guard = createMetricsGuard({ open: false }, { tokens, throttle });
  const http = await startHttp(
    { host: '127.0.0.1', port: 0, tls: undefined },
    {
      bridge: createBridge(services),
      console: createConsole({ tickets: deps.tickets, agents: seam, store, log, signal: stopping.signal }),
      files: await loadStaticFiles(),
      metrics: async (request) => {
        await guard(request);
        return renderMetrics(deps);
      },
      healthy: () => true,
      log,
    },
  );
  const running = engine.run(stopping.signal);
  const secrets = {
    admin: await secretOf('root', 'admin'),
    operator: await secretOf('olga', 'operator'),
    viewer: await secretOf('vic', 'viewer'),
  };
  const clients: { close(): void }[] = [];
  const rig: Rig = {
    directory,
    deps,
    agents,
    apiAddress: `127.0.0.1:${port}`,
    httpUrl: `http://127.0.0.1:${http.port}`,
    caPem: authority.caPem,
    tokens: secrets,
    listed,
    tunnels,
    usage,
    volumes,
    tunnelRefusal: undefined,
    breakTunnel: (error) => void lastTunnel?.destroy(error),
    recordPlan: { changes: [], refusals: [] },
    autoRun: true,
    client: (service, token = secrets.admin) => {
      const metadata = new Metadata();
      if (token !== '') metadata.set('authorization', `Bearer ${token}`);
      const client = createClient(service, {
        ...tlsDial(`127.0.0.1:${port}`, { caPem: authority.caPem }),
        metadata,
      });
      clients.push(client);
      return client;
    },
    anImage: async (name, changes = {}) => {
      const bytes = Buffer.alloc(MIB, name);
      const client = rig.client(imageService);
      const request = { name, format: ostler.v1.ImageFormat.RAW, fileBytes: bytes.length, sha256: sha256(bytes) };
      const image = await client.createImage({ ...request, ...changes });
      return client.uploadImage(chunksOf(image.id, bytes));
    },
    finished: async (operation) =>
      rig.client(operationService).waitOperation({ operation: operation.id, timeoutMs: 10_000 }),
    close: async () => {
      clearInterval(pump);
      for (const client of clients) client.close();
      stopping.abort();
      await running;
      engine.close();
      await http.close();
      await api.close(0);
      await images.close();
      await rm(directory, { recursive: true });
    },
  };
  const pump = setInterval(() => {
    if (!rig.autoRun) return;
    for (const { hostId } of agents.views()) while (agents.runNext(hostId));
  }, 2);
  return rig;
}

export async function* chunksOf(
  image: string,
  bytes: Uint8Array,
  offset = 0,
): AsyncGenerator<ostler.v1.UploadImageRequest.$Properties> {
  yield { image, offset };
  for (let at = offset; at < bytes.length; at += 256 * 1024) {
    yield { chunk: bytes.subarray(at, Math.min(bytes.length, at + 256 * 1024)) };
    await Promise.resolve();
  }
}

/** Two streams: what is written to one is read from the other. */
export function duplexPair(): [Duplex, Duplex] {
  const waiting: [(() => void) | undefined, (() => void) | undefined] = [undefined, undefined];
  const make = (own: 0 | 1, other: 0 | 1): Duplex =>
    new Duplex({
      read: () => {
        const go = waiting[other];
        waiting[other] = undefined;
        go?.();
      },
      write: (chunk: Buffer, _encoding, done) => {
        if (pair[other].push(chunk)) done();
        else waiting[own] = () => done();
      },
      final: (done) => {
        pair[other].push(null);
        done();
      },
      destroy: (error, done) => {
        if (!pair[other].destroyed) setImmediate(() => pair[other].destroy());
        done(error);
      },
    });
  const pair: [Duplex, Duplex] = [make(0, 1), make(1, 0)];
  return pair;
}

/** Creates and starts `name`; resolves when it runs. */
export async function runningVm(rig: Rig, name: string): Promise<ostler.v1.Vm> {
  const vms = rig.client(vmService);
  await rig.finished(await vms.createVm({ ...blankVm(name), start: true }));
  return vms.getVm({ vm: name });
}
