import { readFileSync } from 'node:fs';
import { chmod, mkdir, open, rename, rm } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { parse, stringify } from 'yaml';
import { z } from 'zod';
import { parseConfig } from '../../proto/kit/config.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { Io } from './io.js';

/** How to reach the controller and who one is. */
export interface Connection {
  /** `host:port`, `unix:/path`, or `http://127.0.0.1:port`. */
  readonly address: string;
  readonly token: string;
  /** PEM of the controller's CA; empty: the system's CAs. */
  readonly ca: string;
}

const fileSchema = z.strictObject({
  address: z.string().optional(),
  token: z.string().optional(),
  ca: z.string().optional(),
});
type ConfigFile = z.infer<typeof fileSchema>;

export function configPath(io: Pick<Io, 'env' | 'home'>): string {
  const base = io.env['XDG_CONFIG_HOME'] || join(io.home, '.config');
  return io.env['OSTLER_CONFIG'] || join(base, 'ostler', 'config.yaml');
}

export function readConfigFile(path: string): ConfigFile {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return {};
    throw new OstlerError('INVALID_FIELD', `Cannot read ${path}: ${(error as Error).message}`, { cause: error });
  }
  let raw: unknown;
  try {
    raw = parse(text) ?? {};
  } catch {
    // The parser's message quotes the file, which holds the token.
    throw new OstlerError('INVALID_FIELD', `${path} is not YAML.`, { remedy: 'Write it anew with `ostler login`.' });
  }
  return parseConfig(raw, fileSchema, path);
}

export function readPem(path: string, field: string): string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    throw invalidField(field, `cannot read ${path}: ${(error as Error).message}`);
  }
  if (!text.includes('-----BEGIN CERTIFICATE-----')) throw invalidField(field, `${path} is not a PEM certificate`);
  return text;
}

const LOOPBACK = /^(?:127\.[0-9.]+|localhost|\[::1\]):[0-9]{1,5}$/;

/** Refuses what is not an address, and plain text to another machine: the token would travel unencrypted. */
export function checkAddress(address: string, field: string): string {
  if (address.startsWith('unix:/')) return address;
  const plain = address.startsWith('http://');
  const rest = address.replace(/^https?:\/\//, '').replace(/\/$/, '');
  if (!/^(?:[A-Za-z0-9.-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}$/.test(rest))
    throw invalidField(field, `"${address}" is not HOST:PORT`, 'Write it like controller.example:7443.');
  if (plain && !LOOPBACK.test(rest))
    throw invalidField(field, 'http:// is for this machine only: the token would be readable on the way');
  return plain ? `http://${rest}` : rest;
}

/** Environment before file. INVALID_FIELD when there is no address. */
export function resolveConnection(io: Pick<Io, 'env' | 'home'>): Connection {
  const path = configPath(io);
  const file = readConfigFile(path);
  const fromEnv = io.env['OSTLER_ADDRESS'];
  const address = fromEnv || file.address;
  if (!address) {
    throw new OstlerError(
      'INVALID_FIELD',
      'No controller is known: neither OSTLER_ADDRESS nor the config file says one.',
      {
        field: 'address',
        remedy: 'Log in: ostler login --address HOST:PORT --token TOKEN --ca FILE',
      },
    );
  }
  const caPath = io.env['OSTLER_CA'];
  return {
    address: checkAddress(address, fromEnv ? 'OSTLER_ADDRESS' : `${path}: address`),
    token: io.env['OSTLER_TOKEN'] || (file.token ?? ''),
    ca: caPath ? readPem(caPath, 'OSTLER_CA') : (file.ca ?? ''),
  };
}

/** Replaces the config file in one step; only its owner may read it. */
export async function writeConfigFile(path: string, connection: Connection): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  const temporary = `${path}.new`;
  await rm(temporary, { force: true });
  const file = await open(temporary, 'wx', 0o600);
  try {
    await file.writeFile(stringify(connection));
    await file.sync();
  } finally {
    await file.close();
  }
  await chmod(temporary, 0o600);
  await rename(temporary, path);
}
