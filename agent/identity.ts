import { X509Certificate, webcrypto } from 'node:crypto';
import { mkdir, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { Pkcs10CertificateRequestGenerator } from '../proto/x509.js';
import { z } from 'zod';
import { OstlerError } from '../proto/kit/errors.js';
import { writeFileAtomic } from './linux/durable.js';

/**
 * Who this host is to its controller. One file, so that key and certificate always belong together; mode 0600, and the key
 * was made here and never leaves.
 */
const identitySchema = z.strictObject({
  /** The certificate's common name: what this agent may speak for. */
  host: z.string().min(1),
  keyPem: z.string().includes('PRIVATE KEY'),
  certificatePem: z.string().includes('BEGIN CERTIFICATE'),
  /** The controller's CA: the only one this agent believes. */
  caPem: z.string().includes('BEGIN CERTIFICATE'),
  /** host:port of the controller's listener for agents. */
  linkAddress: z.string().regex(/^[^\s]+:[0-9]{1,5}$/),
});
export type Identity = z.infer<typeof identitySchema>;

/** WRONG_STATE when this host has not joined a controller yet. */
export async function readIdentity(path: string): Promise<Identity> {
  let text: string;
  try {
    text = await readFile(path, 'utf8');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
    throw new OstlerError('WRONG_STATE', 'This host has not joined a controller yet.', {
      remedy: 'Run `ostler host add NAME` where the controller is, then here: ostler-agent join TOKEN',
    });
  }
  try {
    return identitySchema.parse(JSON.parse(text));
  } catch (error) {
    throw new OstlerError('STORAGE_ERROR', `${path} is damaged.`, {
      remedy: 'Join again: `ostler host token NAME` makes a new token.',
      cause: error,
    });
  }
}

export async function writeIdentity(path: string, identity: Identity): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await writeFileAtomic(path, JSON.stringify(identity, null, 2), 0o600);
}

const EC = { name: 'ECDSA', namedCurve: 'P-256' };

/** A fresh EC P-256 key and the request for its certificate. */
export async function createRequest(host: string): Promise<{ readonly keyPem: string; readonly csrPem: string }> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const request = await Pkcs10CertificateRequestGenerator.create({
    // As a structure, not as text: nothing in a name can become another part of it.
    name: [{ CN: [host] }],
    keys,
    signingAlgorithm: { name: 'ECDSA', hash: 'SHA-256' },
  });
  const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  const lines = pkcs8.match(/.{1,64}/g) ?? [];
  const keyPem = ['-----BEGIN PRIVATE KEY-----', ...lines, '-----END PRIVATE KEY-----', ''].join('\n');
  return { keyPem, csrPem: request.toString('pem') };
}

/**
 * What the controller issued, checked: it is for our key, signed by that CA, and names us. Throws PERMISSION_DENIED
 * otherwise. Returns the common name.
 */
export function checkIssued(
  certificatePem: string,
  caPem: string,
  matchesKey: (cert: X509Certificate) => boolean,
): string {
  const refuse = (why: string): never => {
    throw new OstlerError('PERMISSION_DENIED', `The controller issued a certificate that ${why}.`);
  };
  const certificate = new X509Certificate(certificatePem);
  if (!matchesKey(certificate)) refuse('is not for the key of this host');
  if (!certificate.verify(new X509Certificate(caPem).publicKey)) refuse('its own CA did not sign');
  const name = /^CN=(.+)$/m.exec(certificate.subject)?.[1];
  return name ?? refuse('names nobody');
}
