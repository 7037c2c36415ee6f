/** Certificates for both daemons. The library needs a little help before it can be loaded; import it from here only. */
import './reflect-metadata.js';
export * from '@peculiar/x509';

/** All keys of ours: ECDSA on P-256, which every TLS stack takes. */
export const KEY_ALGORITHM = { name: 'ECDSA', namedCurve: 'P-256', hash: 'SHA-256' } as const;
