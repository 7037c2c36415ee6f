import { createHash, randomBytes, webcrypto, X509Certificate } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { isIP } from 'node:net';
import * as x509 from '../../proto/x509.js';
import type { Clock } from '../../proto/kit/clock.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { writeDurably } from '../files.js';

const DAY_MS = 86_400_000;
const CA_DAYS = 20 * 365;
const SERVER_DAYS = 825;
/** A server certificate is made anew at a start when less than this is left. */
const SERVER_RENEW_DAYS = 400;
/** Clocks of hosts may be behind ours. */
const SKEW_MS = 5 * 60_000;
const CSR_LIMIT = 8192;
const { KEY_ALGORITHM } = x509;

export interface KeyAndChain {
  readonly keyPem: string;
  /** Own certificate first, the CA's last, so that a joining agent can compare the CA's fingerprint. */
  readonly chainPem: string;
}

export interface IssuedCertificate {
  readonly certificatePem: string;
  /** Hexadecimal, lower case, without leading zeros. */
  readonly serial: string;
  /** Milliseconds since 1970. */
  readonly expireTime: number;
}

/** The controller's own certificate authority. */
export interface Authority {
  readonly caPem: string;
  /** SHA-256 of the CA certificate's DER form, hexadecimal: what join tokens carry. */
  readonly fingerprint: string;
  /** The public half: to check what a peer shows. */
  readonly certificate: X509Certificate;
  readonly server: KeyAndChain;
  /** A client certificate for the host from its signing request; of the request only the key counts. INVALID_FIELD `csr_pem`. */
  issueHost(hostId: string, csrPem: string): Promise<IssuedCertificate>;
}

export interface AuthorityOptions {
  readonly folder: string;
  /** DNS names and IP addresses of this controller. */
  readonly names: readonly string[];
  readonly hostCertificateDays: number;
}

/** Opens the CA in `folder`; makes it at the first start. Keys are readable by the owner only. */
export async function openAuthority(options: AuthorityOptions, deps: { readonly clock: Clock }): Promise<Authority> {
  const { folder } = options;
  const { clock } = deps;
  await mkdir(folder, { recursive: true, mode: 0o700 });
  const ca = (await loadCa(folder)) ?? (await createCa(folder, clock.now()));
  const caPem = ca.certificate.toString('pem');
  const server =
    (await loadServer(folder, caPem, options.names, clock.now())) ??
    (await createServer(folder, ca, options.names, clock.now()));
  const certificate = new X509Certificate(caPem);
  return {
    caPem,
    fingerprint: createHash('sha256').update(certificate.raw).digest('hex'),
    certificate,
    server,
    issueHost: (hostId, csrPem) => issueHost(ca, hostId, csrPem, options.hostCertificateDays, clock.now()),
  };
}

interface Ca {
  readonly certificate: x509.X509Certificate;
  readonly key: webcrypto.CryptoKey;
}

function isMissing(error: unknown): boolean {
  return (error as NodeJS.ErrnoException).code === 'ENOENT';
}

async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** The key is written before the certificate: a key alone is a first start that was cut short, and has signed nothing. */
async function loadCa(folder: string): Promise<Ca | undefined> {
  const pem = await readIfThere(join(folder, 'ca.pem'));
  if (pem === undefined) return undefined;
  const keyPem = await readIfThere(join(folder, 'ca.key'));
  if (keyPem === undefined) {
    throw new OstlerError('STORE_ERROR', `${folder} has the CA's certificate but not its key ca.key.`, {
      remedy: 'Put the key back from a backup; or remove ca.pem for a new CA, and join all hosts again.',
    });
  }
  const certificate = new x509.X509Certificate(pem);
  const key = await webcrypto.subtle.importKey('pkcs8', x509.PemConverter.decodeFirst(keyPem), KEY_ALGORITHM, false, [
    'sign',
  ]);
  const sample = randomBytes(16);
  const signature = await webcrypto.subtle.sign(KEY_ALGORITHM, key, sample);
  const publicKey: unknown = await certificate.publicKey.export(KEY_ALGORITHM, ['verify']);
  if (!(await webcrypto.subtle.verify(KEY_ALGORITHM, publicKey as webcrypto.CryptoKey, signature, sample))) {
    throw new OstlerError('STORE_ERROR', `ca.key in ${folder} is not the key of ca.pem.`, {
      remedy: 'Put both files back from the same backup.',
    });
  }
  return { certificate, key };
}

async function makeKeys(): Promise<{ readonly keys: webcrypto.CryptoKeyPair; readonly keyPem: string }> {
  const keys = await webcrypto.subtle.generateKey(KEY_ALGORITHM, true, ['sign', 'verify']);
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { keys, keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') + '\n' };
}

async function createCa(folder: string, now: number): Promise<Ca> {
  const { keys, keyPem } = await makeKeys();
  const serial = newSerial();
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    serialNumber: serial,
    // A name of its own: two controllers' CAs must not look alike to a TLS library that searches by name.
    name: [{ CN: [`Ostler CA ${serial.slice(0, 8)}`] }],
    notBefore: new Date(now - SKEW_MS),
    notAfter: new Date(now + CA_DAYS * DAY_MS),
    signingAlgorithm: KEY_ALGORITHM,
    keys,
    extensions: [
      new x509.BasicConstraintsExtension(true, 0, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.keyCertSign | x509.KeyUsageFlags.cRLSign, true),
      await x509.SubjectKeyIdentifierExtension.create(keys.publicKey),
    ],
  });
  await writeDurably(join(folder, 'ca.key'), keyPem, 0o600);
  await writeDurably(join(folder, 'ca.pem'), certificate.toString('pem') + '\n', 0o644);
  return { certificate, key: keys.privateKey };
}

/** Undefined when it must be made anew: absent, of another CA or other names, or near its end. */
async function loadServer(
  folder: string,
  caPem: string,
  names: readonly string[],
  now: number,
): Promise<KeyAndChain | undefined> {
  const chainPem = await readIfThere(join(folder, 'server.pem'));
  const keyPem = await readIfThere(join(folder, 'server.key'));
  if (chainPem === undefined || keyPem === undefined) return undefined;
  const certificate = new X509Certificate(chainPem);
  const ca = new X509Certificate(caPem);
  const known = new Set((certificate.subjectAltName ?? '').split(', ').map(canonicalName));
  const complete = names.every((name) => known.has(canonicalName(`${isIP(name) ? 'IP Address' : 'DNS'}:${name}`)));
  const left = Date.parse(certificate.validTo) - now;
  if (!complete || !certificate.verify(ca.publicKey) || left < SERVER_RENEW_DAYS * DAY_MS) return undefined;
  return { keyPem, chainPem };
}

/** OpenSSL prints IPv6 addresses unabbreviated and in capitals; compared in one form. */
function canonicalName(text: string): string {
  const address = /^IP Address:(.*:.*)$/i.exec(text)?.[1];
  if (address === undefined) return text.toLowerCase();
  const [head = '', tail] = address.toLowerCase().split('::');
  const words = (part: string): string[] => (part === '' ? [] : part.split(':'));
  const front = words(head);
  const back = words(tail ?? '');
  const middle = tail === undefined ? [] : Array<string>(Math.max(0, 8 - front.length - back.length)).fill('0');
  return `ip6:${[...front, ...middle, ...back].map((word) => parseInt(word, 16).toString(16)).join(':')}`;
}

async function createServer(folder: string, ca: Ca, names: readonly string[], now: number): Promise<KeyAndChain> {
  const { keys, keyPem } = await makeKeys();
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: newSerial(),
    subject: [{ CN: ['ostler-controller'] }],
    issuer: ca.certificate.subject,
    notBefore: new Date(now - SKEW_MS),
    notAfter: new Date(now + SERVER_DAYS * DAY_MS),
    signingAlgorithm: KEY_ALGORITHM,
    publicKey: keys.publicKey,
    signingKey: ca.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.serverAuth]),
      new x509.SubjectAlternativeNameExtension(names.map((name) => ({ type: isIP(name) ? 'ip' : 'dns', value: name }))),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate),
    ],
  });
  const chainPem = `${certificate.toString('pem')}\n${ca.certificate.toString('pem')}\n`;
  await writeDurably(join(folder, 'server.key'), keyPem, 0o600);
  await writeDurably(join(folder, 'server.pem'), chainPem, 0o644);
  return { keyPem, chainPem };
}

async function issueHost(
  ca: Ca,
  hostId: string,
  csrPem: string,
  days: number,
  now: number,
): Promise<IssuedCertificate> {
  const publicKey = await publicKeyOfRequest(csrPem);
  const serial = newSerial();
  // X.509 counts whole seconds; the record must say what the certificate says.
  const expireTime = Math.floor((now + days * DAY_MS) / 1000) * 1000;
  const certificate = await x509.X509CertificateGenerator.create({
    serialNumber: serial,
    subject: [{ CN: [hostId] }],
    issuer: ca.certificate.subject,
    notBefore: new Date(now - SKEW_MS),
    notAfter: new Date(expireTime),
    signingAlgorithm: KEY_ALGORITHM,
    publicKey,
    signingKey: ca.key,
    extensions: [
      new x509.BasicConstraintsExtension(false, undefined, true),
      new x509.KeyUsagesExtension(x509.KeyUsageFlags.digitalSignature, true),
      // Client only: a host cannot play the controller to another host.
      new x509.ExtendedKeyUsageExtension([x509.ExtendedKeyUsage.clientAuth]),
      await x509.AuthorityKeyIdentifierExtension.create(ca.certificate),
    ],
  });
  return { certificatePem: certificate.toString('pem') + '\n', serial, expireTime };
}

/** The request must be signed with the key it names, and the key must be of our kind. */
async function publicKeyOfRequest(csrPem: string): Promise<x509.PublicKey> {
  const bad = (why: string): OstlerError => invalidField('csr_pem', why, 'Join with the agent of this release.');
  if (csrPem.length > CSR_LIMIT) throw bad('is longer than 8 KiB');
  let request: x509.Pkcs10CertificateRequest;
  let proven: boolean;
  try {
    request = new x509.Pkcs10CertificateRequest(csrPem);
    proven = await request.verify();
  } catch {
    throw bad('is not a certificate signing request (PKCS#10, PEM)');
  }
  if (!proven) throw bad('is not signed with the key that it names');
  const algorithm = request.publicKey.algorithm as { name: string; namedCurve?: string };
  if (algorithm.namedCurve !== KEY_ALGORITHM.namedCurve) throw bad('needs an ECDSA key on P-256');
  return request.publicKey;
}

/** 127 random bits, positive and without leading zero, so that every tool prints it alike. */
function newSerial(): string {
  const bytes = randomBytes(16);
  bytes[0] = ((bytes[0] ?? 0) & 0x3f) | 0x40;
  return bytes.toString('hex');
}
