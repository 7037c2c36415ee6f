/** A controller made of a few maps, behind the real gRPC adapter: what the command is tested against. */
import { createServer, type Server as HttpServer } from 'node:http';
import {
  connect,
  createServer as createTcpServer,
  type AddressInfo,
  type Server as TcpServer,
  type Socket,
} from 'node:net';
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { WebSocketServer, type WebSocket } from 'ws';
import { ostler } from '../../proto/gen/ostler.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { toErrorDetail } from '../../proto/status.js';
import { toGrpcDefinition } from '../../proto/service.js';
import { implement, type CallContext, type Handlers } from '../../proto/server.js';
import {
  adminService,
  eventService,
  hostService,
  imageService,
  operationService,
  snapshotService,
  volumeService,
  vmService,
} from '../../proto/services.js';
import { toWireTime } from '../../proto/time.js';
import { snapshotHandlers } from './fake-snapshots.js';
import { volumeHandlers } from './fake-volumes.js';

const { v1 } = ostler;
type Vm = ostler.v1.Vm.$Properties;
type Operation = ostler.v1.Operation.$Properties;
type Image = ostler.v1.Image.$Properties;
type Host = ostler.v1.Host.$Properties;

/** 2026-11-21T12:00:00Z: `now` of the golden tests. */
export const NOW = Date.UTC(2026, 10, 21, 12, 0, 0);
export const TOKEN = 'secret-token';

/** How the next operations go. */
export interface Script {
  /** Shown one after the other, one at each wait. */
  details: string[];
  end: 'succeed' | 'fail' | 'cancel' | 'never';
  error: OstlerError | undefined;
}

export interface Fake {
  readonly address: string;
  readonly vms: Map<string, Vm>;
  readonly hosts: Map<string, Host>;
  readonly images: Map<string, Image & { bytes: Buffer }>;
  readonly operations: Map<string, Operation>;
  readonly events: ostler.v1.Event.$Properties[];
  /** `CreateVm` → its requests. */
  readonly requests: { method: string; request: unknown }[];
  readonly script: Script;
  /** Thrown by the next calls of these methods. */
  readonly failures: Map<string, OstlerError>;
  /** Breaks the next uploads after so many bytes. */
  breakUploadAfter: number;
  /** What the guest prints when somebody joins, and how it answers. */
  onConsole: (socket: WebSocket) => void;
  /** Answers WebSocket requests with this instead. */
  refuseConsole: { readonly status: number; readonly body: string } | undefined;
  /** Cuts every connection, as a dying controller would. */
  cut(): void;
  /** While true nobody gets through. */
  down: boolean;
  requestOf(method: string): unknown;
  close(): Promise<void>;
}

export async function startFake(): Promise<Fake> {
  const fake = {
    vms: new Map<string, Vm>(),
    hosts: new Map<string, Host>(),
    images: new Map<string, Image & { bytes: Buffer }>(),
    operations: new Map<string, Operation>(),
    events: [] as ostler.v1.Event.$Properties[],
    requests: [] as { method: string; request: unknown }[],
    script: { details: [], end: 'succeed', error: undefined } as Script,
    failures: new Map<string, OstlerError>(),
    breakUploadAfter: Infinity,
    down: false,
    refuseConsole: undefined as Fake['refuseConsole'],
    onConsole: (socket: WebSocket): void => socket.send('login: '),
  };
  const http = createServer();
  const sockets = new WebSocketServer({ noServer: true });
  http.on('upgrade', (request, socket, head) => {
    const { refuseConsole } = fake;
    if (refuseConsole === undefined) sockets.handleUpgrade(request, socket, head, (joined) => fake.onConsole(joined));
    else
      socket.end(
        `HTTP/1.1 ${refuseConsole.status} Refused\r\ncontent-length: ${refuseConsole.body.length}\r\n\r\n${refuseConsole.body}`,
      );
  });
  await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
  const server = new Server();
  addServices(server, fake as unknown as Fake, (http.address() as AddressInfo).port);
  const grpcPort = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) =>
      error === null ? resolve(bound) : reject(error),
    );
  });
  const wires = new Set<Socket>();
  const front = await startFront(grpcPort, wires, () => fake.down);
  return Object.assign(fake, {
    address: `http://127.0.0.1:${(front.address() as AddressInfo).port}`,
    cut: () => wires.forEach((wire) => wire.destroy()),
    requestOf(method: string): unknown {
      const last = fake.requests.filter((one) => one.method === method).at(-1);
      if (last === undefined) throw new Error(`${method} was not called`);
      return last.request;
    },
    close: () => {
      wires.forEach((wire) => wire.destroy());
      front.close();
      return closeAll(server, sockets, http);
    },
  });
}

/** A plain TCP forwarder before the gRPC port: what is cut here looks like a lost controller. */
function startFront(port: number, wires: Set<Socket>, isDown: () => boolean): Promise<TcpServer> {
  const front = createTcpServer((client) => {
    if (isDown()) {
      client.destroy();
      return;
    }
    const server = connect(port, '127.0.0.1');
    for (const [one, other] of [
      [client, server],
      [server, client],
    ] as const) {
      wires.add(one);
      one.pipe(other);
      one.on('error', () => undefined);
      one.on('close', () => {
        wires.delete(one);
        other.destroy();
      });
    }
  });
  return new Promise((resolve) => front.listen(0, '127.0.0.1', () => resolve(front)));
}

function closeAll(server: Server, sockets: WebSocketServer, http: HttpServer): Promise<void> {
  for (const socket of sockets.clients) socket.terminate();
  sockets.close();
  server.forceShutdown();
  return new Promise((resolve) => http.close(() => resolve()));
}

function addServices(server: Server, fake: Fake, httpPort: number): void {
  const guard = (context: CallContext, request: unknown): Promise<void> => {
    fake.requests.push({ method: context.method, request });
    const failure = fake.failures.get(context.method);
    if (failure !== undefined) return Promise.reject(failure);
    if (context.metadata.get('authorization')[0] !== `Bearer ${TOKEN}`)
      return Promise.reject(new OstlerError('UNAUTHENTICATED', 'The token is not known.', { remedy: 'Log in.' }));
    return Promise.resolve();
  };
  server.addService(toGrpcDefinition(vmService), implement(vmService, vmHandlers(fake, httpPort), guard));
  server.addService(toGrpcDefinition(operationService), implement(operationService, operationHandlers(fake), guard));
  server.addService(toGrpcDefinition(hostService), implement(hostService, hostHandlers(fake), guard));
  server.addService(toGrpcDefinition(imageService), implement(imageService, imageHandlers(fake), guard));
  server.addService(toGrpcDefinition(eventService), implement(eventService, eventHandlers(fake), guard));
  server.addService(toGrpcDefinition(snapshotService), implement(snapshotService, snapshotHandlers(fake), guard));
  server.addService(toGrpcDefinition(volumeService), implement(volumeService, volumeHandlers(), guard));
  server.addService(toGrpcDefinition(adminService), implement(adminService, adminHandlers(), guard));
}

function find<T>(map: ReadonlyMap<string, T>, name: string, what: string): T {
  const found = map.get(name);
  if (found !== undefined) return found;
  throw new OstlerError('NOT_FOUND', `There is no ${what} named ${name}.`, {
    remedy: `List them: ostler ${what} list`,
    metadata: { [what]: name },
  });
}

function vmHandlers(fake: Fake, httpPort: number): Handlers<(typeof vmService)['methods']> {
  const start = (kind: string, vm: Vm | undefined, request: { validateOnly: boolean }): Promise<Operation> => {
    const operation: Operation = {
      id: `op-${String(fake.operations.size + 1).padStart(10, '0')}`,
      kind,
      target: vm?.id ?? 'i-new0000000',
      targetName: vm?.name ?? '',
      state: v1.OperationState.PENDING,
      createdBy: 'admin',
      createTime: toWireTime(NOW - 4200),
      placement: { host: 'h1', score: 0.82, rejected: { h2: 'needs 8 GiB of memory, 1 GiB is free', h3: 'cordoned' } },
    };
    if (request.validateOnly) {
      return Promise.resolve({
        ...operation,
        id: '',
        plan: ['place it on h1', 'clone debian-12 as root (10 GiB)', 'define the domain', 'start it'],
      });
    }
    fake.operations.set(operation.id ?? '', operation);
    return Promise.resolve(operation);
  };
  const named = (name: string): Vm => find(fake.vms, name, 'vm');
  return {
    listVms: (request) => {
      const all = [...fake.vms.values()].filter((vm) => request.filter === '' || vm.name === request.filter);
      const from = Number(request.pageToken || 0);
      const rows = all.slice(from, from + request.pageSize);
      const more = from + rows.length < all.length;
      return Promise.resolve({
        vms: rows,
        totalSize: all.length,
        nextPageToken: more ? String(from + rows.length) : '',
      });
    },
    getVm: async (request) => Promise.resolve(named(request.vm)),
    createVm: (request) => start('vm.create', { id: 'i-new0000000', name: request.name || 'i-new0000000' }, request),
    updateVm: async (request) => {
      const vm = named(request.vm);
      const changed = { ...vm, ...pickMask(request.values ?? {}, request.updateMask?.paths ?? []) };
      if (!request.validateOnly) fake.vms.set(request.vm, changed);
      return start('vm.update', vm, request);
    },
    deleteVm: async (request) => start('vm.delete', named(request.vm), request),
    undeleteVm: async (request) => Promise.resolve({ ...named(request.vm), state: v1.VmState.STOPPED }),
    startVm: async (request) => start('vm.start', named(request.vm), request),
    stopVm: async (request) => start('vm.stop', named(request.vm), request),
    rebootVm: async (request) => start('vm.reboot', named(request.vm), request),
    pauseVm: async (request) => start('vm.pause', named(request.vm), request),
    resumeVm: async (request) => start('vm.resume', named(request.vm), request),
    suspendVm: async (request) => start('vm.suspend', named(request.vm), request),
    sendNmi: async (request) => start('vm.nmi', named(request.vm), request),
    rebuildVm: async (request) => start('vm.rebuild', named(request.vm), request),
    takeScreenshot: async (request) => {
      named(request.vm);
      return Promise.resolve({ mimeType: 'image/png', data: Buffer.from('\x89PNG') });
    },
    openConsole: async (request) => {
      named(request.vm);
      const path = `console/ticket-${fake.requests.length}`;
      return Promise.resolve({
        url: `http://127.0.0.1:${httpPort}/${path}`,
        websocketUrl: `ws://127.0.0.1:${httpPort}/${path}`,
        expireTime: toWireTime(NOW + 30_000),
      });
    },
    getVmUserData: async (request) => {
      named(request.vm);
      return Promise.resolve({ userData: '#cloud-config\nhostname: web1\n' });
    },
  };
}

function pickMask(values: Vm, paths: readonly string[]): Vm {
  const keys: readonly (keyof Vm)[] = ['name', 'displayName', 'description', 'labels'];
  const snake = (key: string): string => key.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
  return Object.fromEntries(keys.filter((key) => paths.includes(snake(key))).map((key) => [key, values[key]]));
}

function operationHandlers(fake: Fake): Handlers<(typeof operationService)['methods']> {
  const named = (id: string): Operation => find(fake.operations, id, 'operation');
  const finish = (operation: Operation): Operation => {
    const { end, error } = fake.script;
    const states = {
      succeed: v1.OperationState.SUCCEEDED,
      fail: v1.OperationState.FAILED,
      cancel: v1.OperationState.CANCELLED,
    };
    if (end === 'never') return operation;
    return {
      ...operation,
      state: states[end],
      percent: 100,
      // As the controller does: at the end it tells what came of it, not what was done last.
      detail: '',
      endTime: toWireTime(NOW),
      error: end === 'fail' && error !== undefined ? toErrorDetail(error.toInfo()) : null,
    };
  };
  return {
    listOperations: () => Promise.resolve({ operations: [...fake.operations.values()], nextPageToken: '' }),
    getOperation: async (request) => Promise.resolve(named(request.operation)),
    cancelOperation: async (request) =>
      Promise.resolve({ ...named(request.operation), state: v1.OperationState.UNDOING }),
    waitOperation: async (request, context) => {
      const operation = named(request.operation);
      const detail = fake.script.details.shift();
      const next: Operation =
        detail === undefined
          ? finish(operation)
          : {
              ...operation,
              state: v1.OperationState.OPERATION_RUNNING,
              detail,
              percent: (operation.percent ?? 0) + 20,
            };
      fake.operations.set(request.operation, next);
      if (detail === undefined && fake.script.end === 'never') await pause(request.timeoutMs, context.signal);
      else await pause(20, context.signal);
      return next;
    },
  };
}

function pause(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(resolve, ms);
    signal.addEventListener('abort', () => {
      clearTimeout(timer);
      resolve();
    });
  });
}

function hostHandlers(fake: Fake): Handlers<(typeof hostService)['methods']> {
  const token = { token: 'ostler-join-1.WyJ4Il0', expireTime: toWireTime(NOW + 3_600_000) };
  return {
    listHosts: () => Promise.resolve({ hosts: [...fake.hosts.values()], nextPageToken: '' }),
    getHost: async (request) => Promise.resolve(find(fake.hosts, request.host, 'host')),
    createHost: (request) => Promise.resolve({ ...token, host: request.name }),
    createJoinToken: async (request) => Promise.resolve({ ...token, host: request.host }),
    updateHost: async (request) => Promise.resolve(find(fake.hosts, request.host, 'host')),
    deleteHost: async (request) => {
      find(fake.hosts, request.host, 'host');
      fake.hosts.delete(request.host);
      return Promise.resolve({});
    },
  };
}

function imageHandlers(fake: Fake): Handlers<(typeof imageService)['methods']> {
  const named = (name: string): Image & { bytes: Buffer } => {
    const byId = [...fake.images.values()].find((image) => image.id === name);
    return byId ?? find(fake.images, name, 'image');
  };
  return {
    listImages: () => Promise.resolve({ images: [...fake.images.values()], nextPageToken: '' }),
    getImage: async (request) => Promise.resolve(named(request.image)),
    createImage: (request) => {
      const image = {
        id: `img-${String(fake.images.size + 1).padStart(10, '0')}`,
        name: request.name,
        displayName: request.displayName,
        format: request.format,
        osType: request.osType,
        fileBytes: request.fileBytes,
        sha256: request.sha256,
        receivedBytes: 0,
        state: v1.ImageState.UPLOADING,
        bytes: Buffer.alloc(0),
      };
      fake.images.set(request.name, image);
      return Promise.resolve(image);
    },
    uploadImage: async (requests) => {
      let image: (Image & { bytes: Buffer }) | undefined;
      for await (const request of requests) {
        if (image === undefined) {
          image = named(request.image);
          if (request.offset !== image.bytes.length)
            throw new OstlerError('INVALID_FIELD', 'offset: is not the length');
        }
        image.bytes = Buffer.concat([image.bytes, request.chunk]);
        image.receivedBytes = image.bytes.length;
        if (image.bytes.length >= fake.breakUploadAfter) {
          fake.breakUploadAfter = Infinity;
          fake.cut();
        }
      }
      if (image === undefined) throw new OstlerError('INVALID_FIELD', 'image: is empty');
      image.state = v1.ImageState.READY;
      return image;
    },
    downloadImage: async function* (request) {
      const { bytes } = named(request.image);
      for (let at = request.offset; at < bytes.length; at += 1000)
        yield await Promise.resolve({ chunk: bytes.subarray(at, at + 1000) });
    },
    deleteImage: async (request) => {
      named(request.image);
      fake.images.delete(request.image);
      return Promise.resolve({});
    },
  };
}

function eventHandlers(fake: Fake): Handlers<(typeof eventService)['methods']> {
  return {
    listEvents: () => Promise.resolve({ events: fake.events, nextPageToken: '' }),
    watchEvents: async function* (_request, context) {
      for (const event of fake.events) yield event;
      await pause(600_000, context.signal);
    },
  };
}

function adminHandlers(): Handlers<(typeof adminService)['methods']> {
  const admin = { name: 'admin', role: v1.Role.ADMIN, createTime: toWireTime(NOW - 86_400_000) };
  return {
    getStatus: () =>
      Promise.resolve({
        version: '0.1.0',
        startTime: toWireTime(NOW - 7_200_000),
        hostsOnline: 2,
        hosts: 3,
        vmsRunning: 1,
        vms: 3,
        operationsRunning: 0,
        store: 'lowdb',
        problems: ['Host h3 has been silent for 12 minutes.'],
      }),
    whoAmI: () => Promise.resolve(admin),
    createApiToken: (request) =>
      Promise.resolve({ apiToken: { name: request.name, role: request.role }, token: 'ostler-token-1' }),
    listApiTokens: () => Promise.resolve({ apiTokens: [admin] }),
    deleteApiToken: () => Promise.resolve({}),
    rebuild: () =>
      Promise.resolve({
        restored: ['i-7q2m4c9xkd'],
        alreadyKnown: ['i-0000000001'],
        skipped: { 'i-bad0000000': 'its metadata does not parse' },
        hostsAsked: ['h1', 'h2'],
        hostsSilent: { h3: 'unreachable since 12 minutes' },
      }),
  };
}
