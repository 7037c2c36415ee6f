import { pino } from 'pino';

/** Structured log, one JSON line each on stderr. Log once, at the boundary; never a secret (see `REDACTED`). */
export interface Log {
  debug(fields: object, message: string): void;
  info(fields: object, message: string): void;
  warn(fields: object, message: string): void;
  error(fields: object, message: string): void;
  child(fields: Record<string, unknown>): Log;
}

/** Keys whose values never reach a log, at the top level and one level down. */
const SECRET_KEYS = [
  'token',
  'secret',
  'password',
  'passwordHash',
  'password_hash',
  'key',
  'userData',
  'user_data',
  'ticket',
];
const REDACTED = [...SECRET_KEYS, ...SECRET_KEYS.map((key) => `*.${key}`), 'authorization', '*.authorization'];

export function createLog(options: { name: string; level?: string }): Log {
  return pino(
    {
      name: options.name,
      level: options.level ?? 'info',
      base: { pid: process.pid },
      redact: { paths: REDACTED, censor: '[secret]' },
    },
    pino.destination({ dest: 2, sync: true }),
  );
}

export const silentLog: Log = {
  debug: () => undefined,
  info: () => undefined,
  warn: () => undefined,
  error: () => undefined,
  child: () => silentLog,
};
