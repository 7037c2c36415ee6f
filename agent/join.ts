import { createPrivateKey, X509Certificate } from 'node:crypto';
import { isIP } from 'node:net';
import { connect, type DetailedPeerCertificate } from 'node:tls';
import { createClient } from '../proto/client.js';
import { parseJoinToken } from '../proto/join-token.js';
import { OstlerError } from '../proto/kit/errors.js';
import { enrollmentService } from '../proto/services.js';
import { tlsDial } from '../proto/tls-dial.js';
import { checkIssued, createRequest, writeIdentity, type Identity } from './identity.js';

export interface JoinOptions {
  readonly token: string;
  /** Where to reach the controller when not at the token's address. */
  readonly address?: string | undefined;
  readonly identityFile: string;
}

const TIMEOUT_MS = 15_000;

/**
 * Enrols this host: makes a key here, meets the server that the token describes and nobody else, hands in the one-time
 * secret, and keeps the certificate. UNAUTHENTICATED when the server is another one; TOKEN_SPENT as the controller says.
 */
export async function join(options: JoinOptions): Promise<Identity> {
  const token = parseJoinToken(options.token);
  const address = options.address ?? token.address;
  const caPem = await fetchPinnedCa(address, token.caFingerprint);
  const { keyPem, csrPem } = await createRequest(token.host);
  const client = createClient(enrollmentService, tlsDial(address, { caPem }));
  try {
    const answer = await client.join({ secret: token.secret, host: token.host, csrPem }, { timeoutMs: TIMEOUT_MS });
    const key = createPrivateKey(keyPem);
    const host = checkIssued(answer.certificatePem, answer.caPem, (certificate) => certificate.checkPrivateKey(key));
    const identity: Identity = {
      host,
      keyPem,
      certificatePem: answer.certificatePem,
      caPem: answer.caPem,
      linkAddress: reachable(answer.linkAddress, address),
    };
    await writeIdentity(options.identityFile, identity);
    return identity;
  } finally {
    client.close();
  }
}

/** A controller that listens everywhere does not know its own name: it is where we just found it. */
export function reachable(linkAddress: string, joinedAt: string): string {
  const [, host = '', port = ''] = /^(.*):([0-9]+)$/.exec(linkAddress) ?? [];
  const wild = host === '' || host === '0.0.0.0' || host === '[::]';
  return wild ? `${joinedAt.slice(0, joinedAt.lastIndexOf(':'))}:${port}` : linkAddress;
}

/**
 * The CA that the token names, from the server's own handshake. Nothing is sent over this connection: it only fetches the
 * chain, and the strict connection that follows believes that one CA alone.
 */
async function fetchPinnedCa(address: string, fingerprint: string): Promise<string> {
  for (const certificate of await fetchChain(address)) {
    const parsed = new X509Certificate(certificate);
    if (parsed.fingerprint256.replaceAll(':', '').toLowerCase() === fingerprint) return parsed.toString();
  }
  throw new OstlerError('UNAUTHENTICATED', `The server at ${address} is not the controller that made this token.`, {
    remedy: 'Check the address; if the controller was reinstalled, make a new token.',
  });
}

function fetchChain(address: string): Promise<Buffer[]> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  const port = Number(address.slice(colon + 1));
  return new Promise((resolve, reject) => {
    const fail = (why: string, cause?: unknown): void => {
      socket.destroy();
      reject(
        new OstlerError('HOST_UNREACHABLE', `The controller at ${address} cannot be reached: ${why}`, {
          remedy: 'Check that it runs and that this host can connect to that port.',
          cause,
        }),
      );
    };
    const socket = connect({
      host,
      port,
      // The chain is judged by its fingerprint, which is stricter than any list of authorities.
      rejectUnauthorized: false,
      ALPNProtocols: ['h2'],
      ...(isIP(host) === 0 ? { servername: host } : {}),
    });
    socket.setTimeout(TIMEOUT_MS, () => fail('no answer in time'));
    socket.once('error', (error: Error) => fail(error.message, error));
    socket.once('secureConnect', () => {
      const chain = chainOf(socket.getPeerCertificate(true));
      socket.destroy();
      resolve(chain);
    });
  });
}

function chainOf(first: DetailedPeerCertificate): Buffer[] {
  const chain: Buffer[] = [];
  let certificate: Partial<DetailedPeerCertificate> = first;
  // A self-signed CA is its own issuer.
  for (;;) {
    const { raw, issuerCertificate } = certificate;
    if (raw === undefined || chain.some((one) => one.equals(raw))) break;
    chain.push(raw);
    certificate = issuerCertificate ?? {};
  }
  return chain;
}
