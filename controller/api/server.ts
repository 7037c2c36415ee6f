import { Server, ServerCredentials, type ServiceDefinition } from '@grpc/grpc-js';
import { loadSync } from '@grpc/proto-loader';
import { ReflectionService } from '@grpc/reflection';
import { OstlerError } from '../../proto/kit/errors.js';
import { createHealth, type Health } from './health.js';
import { PROTO_ROOT, publicProtoFiles } from './proto-files.js';
import type { ServedService } from './services.js';

export interface ApiServer {
  readonly health: Health;
  /** Adds a listener: `host:port` or `unix:/path`. Resolves to the port (0 for a socket). */
  listen(address: string, credentials: ServerCredentials): Promise<number>;
  /** Lets running calls end for `graceMs`, then cuts them. */
  close(graceMs: number): Promise<void>;
}

/** A message holds at most an image chunk of 1 MiB, or a VM with its user data and scripts. */
const REQUEST_MAX_BYTES = 4 * 1024 * 1024;

export const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': REQUEST_MAX_BYTES,
  'grpc.max_send_message_length': -1,
  // Dead clients and half-open connections are found; calls that wait (WatchEvents) keep their connection.
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_concurrent_streams': 1000,
} as const;

/** The gRPC side of the API: our services, health and reflection. */
export function createApiServer(services: readonly ServedService[]): ApiServer {
  const server = new Server(SERVER_OPTIONS);
  for (const { definition, implementation } of services) server.addService(definition, implementation);
  const definitions = loadSync(publicProtoFiles(), { includeDirs: [PROTO_ROOT], enums: String, defaults: true });
  const health = createHealth(services.map(({ service }) => service.name));
  server.addService(definitions['grpc.health.v1.Health'] as ServiceDefinition, health.implementation);
  new ReflectionService(definitions).addToServer(server);
  return {
    health,
    listen: (address, credentials) => listen(server, address, credentials),
    close: (graceMs) => closeServer(server, graceMs),
  };
}

export function listen(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, credentials, (error, port) => {
      if (error === null) resolve(port);
      else
        reject(
          new OstlerError('INVALID_FIELD', `Cannot listen on ${address}: ${error.message}`, {
            field: 'listen',
            remedy: 'Is another controller running, or the port taken? Choose another in the config.',
            cause: error,
          }),
        );
    });
  });
}

export async function closeServer(server: Server, graceMs: number): Promise<void> {
  await new Promise<void>((resolve) => {
    const force = setTimeout(() => server.forceShutdown(), graceMs);
    server.tryShutdown(() => {
      clearTimeout(force);
      resolve();
    });
  });
}
