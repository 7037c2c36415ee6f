import { credentials, type ChannelCredentials, type ChannelOptions } from '@grpc/grpc-js';
import { isIP } from 'node:net';
import { checkServerIdentity, type PeerCertificate } from 'node:tls';

export interface TlsIdentity {
  /** PEM of the only authorities to believe; empty: those of the system. */
  readonly caPem: string;
  /** PEM of our own key and certificate, for a server that wants one. */
  readonly own?: { readonly keyPem: string; readonly certificatePem: string };
}

/** What `createClient` takes. */
export interface TlsDial {
  readonly address: string;
  readonly credentials: ChannelCredentials;
  readonly channel: ChannelOptions;
}

/** Sent as the server's name where there is none; no server of ours looks at it. */
const NAMELESS = 'ostler-controller';

/**
 * TLS to `host:port` with the server's certificate checked. A server that is dialled by its IP address must have that address
 * in its certificate, as everywhere. But grpc-js also sends the address as the server's name (SNI), which RFC 6066 forbids and
 * Node warns of on standard error (DEP0123); so then a word goes out in its place, and the address is what is checked.
 */
export function tlsDial(address: string, { caPem, own }: TlsIdentity): TlsDial {
  const host = hostOf(address);
  const byAddress = isIP(host) !== 0;
  const verify = byAddress
    ? { checkServerIdentity: (_name: string, certificate: PeerCertificate) => checkServerIdentity(host, certificate) }
    : undefined;
  const bytes = (pem: string | undefined): Buffer | null => (pem === undefined || pem === '' ? null : Buffer.from(pem));
  return {
    address,
    credentials: credentials.createSsl(bytes(caPem), bytes(own?.keyPem), bytes(own?.certificatePem), verify),
    channel: byAddress ? { 'grpc.ssl_target_name_override': NAMELESS } : {},
  };
}

function hostOf(address: string): string {
  return address.replace(/:[0-9]+$/, '').replace(/^\[(.*)\]$/, '$1');
}
