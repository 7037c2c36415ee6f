/** What a daemon wants to hear before the first real call. */
import type { Connection, ConnectionOptions } from './connection.js';
import { ConnectionError, isLibvirtError, isUnsupported } from './errors.js';

const AUTH = { none: 0, sasl: 1, polkit: 2 } as const;
/** Numbers of virDrvFeature that concern the protocol itself. */
const FEATURE = { keepalive: 10, closeCallback: 15 } as const;
const OPEN_READ_ONLY = 1;

export interface Features {
  readonly keepalive: boolean;
}

/**
 * Authenticates, turns keepalive on and opens the URI. Root on the UNIX socket gets `none` whatever the configuration
 * says; others get `polkit`, which needs nothing but an empty call: the daemon asks polkit about our pid and uid.
 */
export async function handshake(
  connection: Connection,
  options: ConnectionOptions,
  timeoutMs: number,
): Promise<Features> {
  const limits = { timeoutMs };
  await authenticate(connection, limits);
  // Asking also makes the daemon start its own pings.
  const keepalive = options.keepaliveIntervalMs !== 0 && (await supports(connection, FEATURE.keepalive, limits));
  await connection.call(
    'connectOpen',
    { name: options.uri, flags: options.readOnly === true ? OPEN_READ_ONLY : 0 },
    limits,
  );
  if (await supports(connection, FEATURE.closeCallback, limits)) await registerCloseCallback(connection, limits);
  return { keepalive };
}

async function authenticate(connection: Connection, limits: { timeoutMs: number }): Promise<void> {
  const { types } = await connection.call('authList', {}, limits);
  if (types.length === 0 || types.includes(AUTH.none)) return;
  if (!types.includes(AUTH.polkit)) {
    const method = types.includes(AUTH.sasl) ? 'SASL' : `method ${types.join(', ')}`;
    throw new ConnectionError('AUTH', `the daemon wants ${method}; this client knows "none" and "polkit"`);
  }
  try {
    await connection.call('authPolkit', {}, limits);
  } catch (e) {
    if (isLibvirtError(e)) throw new ConnectionError('AUTH', `polkit refused: ${e.message}`, e);
    throw e;
  }
}

async function supports(connection: Connection, feature: number, limits: { timeoutMs: number }): Promise<boolean> {
  const { supported } = await connection.call('connectSupportsFeature', { feature }, limits);
  return supported;
}

/** A proxying daemon tells through it that the daemon behind it died; our own socket would not show it. */
async function registerCloseCallback(connection: Connection, limits: { timeoutMs: number }): Promise<void> {
  try {
    await connection.call('connectRegisterCloseCallback', {}, limits);
  } catch (e) {
    if (!isUnsupported(e) && !isLibvirtError(e)) throw e;
  }
}
