import { z } from 'zod';

/** `host:port`, `[v6]:port`. */
const listenSchema = z
  .string()
  .regex(/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/, 'is not HOST:PORT')
  .refine((text) => parseListen(text).port <= 65535, 'has a port above 65535');

export interface Listen {
  readonly host: string;
  readonly port: number;
}

export function parseListen(text: string): Listen {
  const colon = text.lastIndexOf(':');
  return { host: text.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(text.slice(colon + 1)) };
}

export function formatListen(listen: Listen): string {
  return listen.host.includes(':') ? `[${listen.host}]:${listen.port}` : `${listen.host}:${listen.port}`;
}

export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\.[0-9]+\.[0-9]+\.[0-9]+$/.test(host);
}

/** A DNS name or an IP address, as people and agents dial it. */
const hostNameSchema = z
  .string()
  .regex(
    /^(?:[A-Za-z0-9](?:[A-Za-z0-9.-]{0,251}[A-Za-z0-9])?|[0-9A-Fa-f:]{2,39})$/,
    'is neither a DNS name nor an IP address',
  );

const httpSchema = z
  .strictObject({
    listen: listenSchema.default('127.0.0.1:7480'),
    /** TLS with the controller's own certificate. Plain HTTP is for this machine (or a TLS proxy on it) alone. */
    tls: z.boolean().default(false),
    /** How browsers reach it, without a slash at the end; default: made of `tls`, `publicName` and `listen`. */
    publicUrl: z
      .string()
      .regex(/^https?:\/\/[^\s/?#]+$/, 'is not http(s)://HOST[:PORT]')
      .optional(),
    /** Whether /metrics answers without a token. */
    publicMetrics: z.boolean().default(false),
  })
  .refine((http) => http.tls || isLoopback(parseListen(http.listen).host), {
    path: ['tls'],
    message: 'false is allowed on loopback only: tokens would be readable on the way',
  });

/** Every key of /etc/ostler/controller.yaml with its default. Units are in the names. */
export const controllerConfigSchema = z.strictObject({
  dataDir: z.string().startsWith('/', 'is not an absolute path').default('/var/lib/ostler/controller'),
  /** When set, the API listens on the Unix socket `api.sock` in it as well, without TLS, for this machine's administrator. */
  runDir: z.string().startsWith('/', 'is not an absolute path').optional(),
  /** Name or address of this machine as hosts and people dial it: in certificates and join tokens. */
  publicName: hostNameSchema.default('localhost'),
  /** Further names and addresses for the server certificate. */
  extraNames: z.array(hostNameSchema).max(32).default([]),
  api: z.strictObject({ listen: listenSchema.default('0.0.0.0:7443') }).prefault({}),
  link: z.strictObject({ listen: listenSchema.default('0.0.0.0:7444') }).prefault({}),
  http: httpSchema.prefault({}),
  /** How long a deleted VM can be undeleted. */
  vmRetentionSeconds: z
    .int()
    .min(0)
    .max(366 * 86400)
    .default(86400),
  /** vCPUs given out per CPU of a host. */
  cpuOvercommit: z.number().min(0.1).max(64).default(8),
  /** Kept free for each host itself, at most a quarter of its memory. */
  memoryReserveMib: z.int().min(0).max(1_048_576).default(512),
  /** Snapshots that a VM may have; more are refused, none is removed. */
  maxSnapshotsPerVm: z.int().min(1).max(64).default(16),
  /** Whether vCPUs and memory may grow while a VM runs; off, such a change needs a stop. */
  liveGrowth: z.boolean().default(true),
  /** How long taking a snapshot may take; then it is taken back and has failed. */
  snapshotWaitSeconds: z.int().min(1).max(86_400).default(1800),
  /** Life of an agent's certificate; it is renewed by the agent long before. */
  hostCertificateDays: z.int().min(1).max(365).default(30),
  logLevel: z.enum(['debug', 'info', 'warn', 'error']).default('info'),
});

export type ControllerConfig = z.infer<typeof controllerConfigSchema>;

export function publicUrlOf(config: ControllerConfig): string {
  if (config.http.publicUrl !== undefined) return config.http.publicUrl;
  const listen = parseListen(config.http.listen);
  const host = isLoopback(listen.host) ? listen.host : config.publicName;
  return `${config.http.tls ? 'https' : 'http'}://${formatListen({ host, port: listen.port })}`;
}
