import { credentials, Metadata } from '@grpc/grpc-js';
import { createClient, type TypedClient } from '../../proto/client.js';
import { OstlerError } from '../../proto/kit/errors.js';
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
import { tlsDial } from '../../proto/tls-dial.js';
import type { Connection } from './config.js';

export interface Clients {
  readonly vms: TypedClient<(typeof vmService)['methods']>;
  readonly hosts: TypedClient<(typeof hostService)['methods']>;
  readonly images: TypedClient<(typeof imageService)['methods']>;
  readonly operations: TypedClient<(typeof operationService)['methods']>;
  readonly events: TypedClient<(typeof eventService)['methods']>;
  readonly snapshots: TypedClient<(typeof snapshotService)['methods']>;
  readonly volumes: TypedClient<(typeof volumeService)['methods']>;
  readonly admin: TypedClient<(typeof adminService)['methods']>;
  readonly connection: Connection;
  close(): void;
}

/** One channel per service name is shared by grpc-js's subchannel pool: this opens one TCP connection. */
export function connect(connection: Connection): Clients {
  const plain = connection.address.startsWith('http://');
  const metadata = new Metadata();
  if (connection.token !== '') metadata.set('authorization', `Bearer ${connection.token}`);
  const target =
    plain || connection.address.startsWith('unix:')
      ? {
          address: connection.address.replace(/^http:\/\//, ''),
          credentials: credentials.createInsecure(),
          channel: {},
        }
      : tlsDial(connection.address, { caPem: connection.ca });
  const options = {
    ...target,
    metadata,
    channel: {
      ...target.channel,
      'grpc.max_receive_message_length': 64 * 1024 * 1024,
      'grpc.initial_reconnect_backoff_ms': 200,
      'grpc.max_reconnect_backoff_ms': 2000,
    },
  };
  const all = {
    vms: createClient(vmService, options),
    hosts: createClient(hostService, options),
    images: createClient(imageService, options),
    operations: createClient(operationService, options),
    events: createClient(eventService, options),
    snapshots: createClient(snapshotService, options),
    volumes: createClient(volumeService, options),
    admin: createClient(adminService, options),
  };
  return {
    ...all,
    connection,
    close: () => {
      for (const client of Object.values(all)) client.close();
    },
  };
}

/** The controller itself did not answer (as opposed to: it says that a host does not). Such calls may be repeated. */
export function isConnectionLoss(error: unknown): boolean {
  return error instanceof OstlerError && error.code === 'HOST_UNREACHABLE' && error.cause !== undefined;
}

/** grpc-js wraps the system's words in its own. */
function tidy(message: string): string {
  return message
    .replace(/^No connection established\. Last error: (?:Error: )?/, '')
    .replace(/\.? ?Resolution note: ?$/, '.');
}

/** Says for a lost connection which address it was and what may be wrong. */
export function explainConnection(error: OstlerError, connection: Connection | undefined): OstlerError {
  if (connection === undefined || !isConnectionLoss(error)) return error;
  const tls = /certificate|self.signed|SSL|TLS|ERR_TLS|issuer/i.test(error.message);
  return new OstlerError(
    'HOST_UNREACHABLE',
    `Cannot reach the controller at ${connection.address}: ${tidy(error.message)}`,
    {
      remedy: tls
        ? "Log in with the controller's CA certificate: ostler login --ca FILE; the address must be a name of its certificate."
        : 'Is the controller running (systemctl status ostler-controller), and is the address right (ostler config show)?',
      cause: error,
    },
  );
}
