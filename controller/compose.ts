import { Server, ServerCredentials } from '@grpc/grpc-js';
import { mkdir } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { toGrpcDefinition } from '../proto/service.js';
import { agentLink } from '../proto/services.js';
import type { Clock } from '../proto/kit/clock.js';
import { sha512Crypt } from '../proto/kit/crypt.js';
import { OstlerError } from '../proto/kit/errors.js';
import type { FaultPoint } from '../proto/kit/fault.js';
import type { Log } from '../proto/kit/log.js';
import { createLinkServer } from './agents/link-server.js';
import { createRegistry, type Registry } from './agents/registry.js';
import { createAudit } from './api/audit.js';
import { createRebuild } from './api/rebuild.js';
import { closeServer, createApiServer, listen, SERVER_OPTIONS, type ApiServer } from './api/server.js';
import { createServices, type ApiDeps } from './api/services.js';
import { createBridge } from './api/http/bridge.js';
import { createConsole } from './api/http/console.js';
import { createMetricsGuard } from './api/http/metrics-guard.js';
import { renderMetrics } from './api/http/metrics.js';
import { startHttp, type HttpServer } from './api/http/server.js';
import { loadStaticFiles } from './api/http/static.js';
import { createThrottle, DEFAULT_THROTTLE } from './auth/throttle.js';
import { createTickets } from './auth/tickets.js';
import { createTokens, ensureAdminToken } from './auth/tokens.js';
import { openAuthority, type Authority } from './ca/authority.js';
import { createHostIdentity, type HostIdentity } from './ca/host-identity.js';
import { openRegister } from './ca/register.js';
import { formatListen, parseListen, publicUrlOf, type ControllerConfig } from './config.js';
import { createEngine, type Engine } from './engine/engine.js';
import { newId } from './engine/ids.js';
import { openLibrary, type ImageLibrary } from './images/library.js';
import { openEventLog, type DurableEventLog } from './store/event-log.js';
import { openStore } from './store/lowdb.js';
import type { Store } from './store/store.js';

export interface ControllerDeps {
  readonly clock: Clock;
  readonly log: Log;
  readonly fault: FaultPoint;
  readonly version: string;
}

/** What lies in dataDir, opened; made where it is the first start. */
export interface Foundation {
  readonly store: Store;
  readonly events: DurableEventLog;
  readonly authority: Authority;
  readonly identity: HostIdentity;
  readonly images: ImageLibrary;
  readonly adminTokenPath: string;
  close(): Promise<void>;
}

export interface RunningController {
  /** Bound ports: different from the config's where that says 0. */
  readonly ports: { readonly api: number; readonly link: number; readonly http: number };
  readonly foundation: Foundation;
  readonly engine: Engine;
  readonly registry: Registry;
  /** Ends within a few seconds: lets running calls finish, then closes everything in order. */
  close(): Promise<void>;
}

const GRACE_MS = 2_000;
/** Inventories of hosts with thousands of domains come in one message. */
const LINK_MESSAGE_BYTES = 64 * 1024 * 1024;

export async function openFoundation(config: ControllerConfig, deps: ControllerDeps): Promise<Foundation> {
  const { dataDir } = config;
  const { clock, log, fault } = deps;
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const store = await openStore({ dataDir }, { fault });
  try {
    const events = await openEventLog({ dataDir }, { clock, fault });
    const names = [...new Set([config.publicName, ...config.extraNames, 'localhost', '127.0.0.1', '::1', hostname()])];
    const folder = join(dataDir, 'ca');
    const { hostCertificateDays } = config;
    const authority = await openAuthority({ folder, names, hostCertificateDays }, { clock });
    const register = await openRegister(join(folder, 'hosts'));
    const identity = createHostIdentity({ authority, register, store, clock, log });
    const images = await openLibrary(join(dataDir, 'images'), { store, clock, log, fault });
    await images.recover();
    const adminTokenPath = join(dataDir, 'admin.token');
    const token = await ensureAdminToken(adminTokenPath, { store, clock });
    if (token !== 'present') log.info({ path: adminTokenPath, how: token }, 'admin token');
    return {
      store,
      events,
      authority,
      identity,
      images,
      adminTokenPath,
      close: async () => {
        await images.close();
        await events.close();
        await store.close();
      },
    };
  } catch (error) {
    await store.close();
    throw error;
  }
}

/** Everything wired and listening. Throws when something cannot be opened; what was opened is closed again. */
export async function startController(config: ControllerConfig, deps: ControllerDeps): Promise<RunningController> {
  const foundation = await openFoundation(config, deps);
  const stopping = new AbortController();
  const undo: (() => Promise<void>)[] = [() => foundation.close()];
  const unwind = async (): Promise<void> => {
    stopping.abort();
    for (let close = undo.pop(); close !== undefined; close = undo.pop())
      await close().catch((error: unknown) => deps.log.error({ err: error }, 'could not be closed'));
  };
  try {
    return await assemble(config, deps, { foundation, stopping, undo, unwind });
  } catch (error) {
    await unwind();
    throw error;
  }
}

interface Frame {
  readonly foundation: Foundation;
  readonly stopping: AbortController;
  readonly undo: (() => Promise<void>)[];
  readonly unwind: () => Promise<void>;
}

async function assemble(config: ControllerConfig, deps: ControllerDeps, frame: Frame): Promise<RunningController> {
  const { foundation, stopping, undo, unwind } = frame;
  const { store, events, authority } = foundation;
  const { clock, log, fault } = deps;
  const registry = createRegistry({}, { store, events, clock, log: log.child({ part: 'agents' }), fault });
  const engine = createEngine(
    {
      policy: {
        purgeDelayMs: config.vmRetentionSeconds * 1000,
        cpuOvercommit: config.cpuOvercommit,
        memoryReserveBytes: config.memoryReserveMib * 1024 * 1024,
        maxSnapshots: config.maxSnapshotsPerVm,
        liveGrowth: config.liveGrowth,
        snapshotWaitSeconds: config.snapshotWaitSeconds,
      },
    },
    { store, events, agents: registry, clock, log: log.child({ part: 'engine' }), fault },
  );
  const loops = [registry.run(stopping.signal), engine.run(stopping.signal)];
  undo.push(async () => {
    await Promise.all(loops);
    engine.close();
  });

  const link = await startLink(config, registry, { ...deps, foundation });
  undo.push(() => closeServer(link.server, 0));
  const { api, http, apiPort } = await startApi(config, {
    ...deps,
    foundation,
    registry,
    engine,
    stopping,
    linkPort: link.port,
  });
  undo.push(() => api.close(GRACE_MS));
  undo.push(() => http.close());
  api.health.setServing(true);
  const ports = { api: apiPort, link: link.port, http: http.port };
  log.info({ ...ports, ca: authority.fingerprint, version: deps.version }, 'controller is ready');
  return {
    ports,
    foundation,
    engine,
    registry,
    close: () => {
      api.health.setServing(false);
      return unwind();
    },
  };
}

/** The agents' listener: mTLS, and only certificates of our CA come through the handshake. */
async function startLink(
  config: ControllerConfig,
  registry: Registry,
  deps: ControllerDeps & { readonly foundation: Foundation },
): Promise<{ readonly server: Server; readonly port: number }> {
  const { foundation, clock, log } = deps;
  const { store, authority, identity, images } = foundation;
  const server = new Server({ ...SERVER_OPTIONS, 'grpc.max_receive_message_length': LINK_MESSAGE_BYTES });
  const handlers = createLinkServer(
    { controllerId: authority.fingerprint.slice(0, 16) },
    {
      registry,
      identify: async (certificate) => ({ hostId: (await identity.identify(certificate)).id }),
      hostName: (hostId) => store.get('host', hostId)?.value.name,
      openImage: (imageId, offset) => images.read(imageId, offset),
      renewCertificate: async (hostId, csrPem) => ({
        certificatePem: await identity.renew(hostId, csrPem),
        caPem: authority.caPem,
      }),
      clock,
      log: log.child({ part: 'link' }),
    },
  );
  server.addService(toGrpcDefinition(agentLink), handlers);
  const port = await listen(server, config.link.listen, tlsCredentials(authority, true));
  return { server, port };
}

function tlsCredentials(authority: Authority, clientCertificates: boolean): ServerCredentials {
  const { keyPem, chainPem } = authority.server;
  const pair = { private_key: Buffer.from(keyPem), cert_chain: Buffer.from(chainPem) };
  const roots = clientCertificates ? Buffer.from(authority.caPem) : null;
  return ServerCredentials.createSsl(roots, [pair], clientCertificates);
}

interface ApiParts extends ControllerDeps {
  readonly foundation: Foundation;
  readonly registry: Registry;
  readonly engine: Engine;
  readonly stopping: AbortController;
  readonly linkPort: number;
}

async function startApi(
  config: ControllerConfig,
  parts: ApiParts,
): Promise<{ readonly api: ApiServer; readonly http: HttpServer; readonly apiPort: number }> {
  const { foundation, stopping } = parts;
  const httpListen = parseListen(config.http.listen);
  const deps = apiDeps(config, parts);
  const services = createServices(deps);
  const api = createApiServer(services);
  const { log, registry } = parts;
  const { tokens, throttle, tickets, store } = deps;
  const apiPort = await api.listen(config.api.listen, tlsCredentials(foundation.authority, false));
  const guard = createMetricsGuard({ open: config.http.publicMetrics }, { tokens, throttle });
  let http: HttpServer | undefined;
  try {
    http = await startHttp(
      { ...httpListen, tls: config.http.tls ? foundation.authority.server : undefined },
      {
        bridge: createBridge(services),
        console: createConsole({ tickets, agents: registry, store, log, signal: stopping.signal }),
        files: await loadStaticFiles(),
        metrics: async (request) => {
          await guard(request);
          return renderMetrics({ ...deps, view: deps.view });
        },
        healthy: () => !stopping.signal.aborted,
        log,
      },
    );
    if (config.runDir !== undefined) await listenOnSocket(api, config.runDir);
    return { api, http, apiPort };
  } catch (error) {
    await http?.close();
    await api.close(0);
    throw error;
  }
}

/** For this machine's administrator: the folder lets nobody else in, and a token is asked for all the same. */
async function listenOnSocket(api: ApiServer, runDir: string): Promise<void> {
  const path = join(runDir, 'api.sock');
  if (path.length > 107)
    throw new OstlerError('INVALID_FIELD', `runDir: ${path} is too long for a Unix socket.`, { field: 'runDir' });
  await mkdir(runDir, { recursive: true, mode: 0o700 });
  await api.listen(`unix:${path}`, ServerCredentials.createInsecure());
}

function apiDeps(config: ControllerConfig, parts: ApiParts): ApiDeps {
  const { foundation, registry, engine, clock, log, version, linkPort } = parts;
  const { store, events, authority, identity, images } = foundation;
  const vmRetentionMs = config.vmRetentionSeconds * 1000;
  const publicPort = (port: number): string => formatListen({ host: config.publicName, port });
  return {
    store,
    events,
    identity,
    images,
    clock,
    log,
    version,
    newId,
    agents: registry,
    operations: engine.operations,
    view: () => engine.view(),
    tokens: createTokens({ store, clock }),
    tickets: createTickets({ clock }),
    throttle: createThrottle(DEFAULT_THROTTLE, { clock }),
    audit: createAudit({ events, store, log }),
    rebuild: createRebuild({ store, agents: registry, images, clock, log, vmRetentionMs }),
    hashPassword: (password) => sha512Crypt(password),
    caPem: authority.caPem,
    caFingerprint: authority.fingerprint,
    apiAddress: publicPort(parseListen(config.api.listen).port),
    linkAddress: publicPort(linkPort),
    publicUrl: publicUrlOf(config),
    storeName: 'lowdb',
    startTime: clock.now(),
  };
}
