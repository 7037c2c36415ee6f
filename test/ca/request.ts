import { webcrypto } from 'node:crypto';
import * as x509 from '../../proto/x509.js';

/** A key and a signing request, as an agent makes them. */
export async function makeRequest(
  name: string,
  algorithm: EcKeyGenParams = x509.KEY_ALGORITHM,
): Promise<{ readonly csrPem: string; readonly keyPem: string }> {
  const keys = await webcrypto.subtle.generateKey(algorithm, true, ['sign', 'verify']);
  const csr = await x509.Pkcs10CertificateRequestGenerator.create({
    name: [{ CN: [name] }],
    keys,
    signingAlgorithm: { ...x509.KEY_ALGORITHM, namedCurve: algorithm.namedCurve } as never,
  });
  const pkcs8 = await webcrypto.subtle.exportKey('pkcs8', keys.privateKey);
  return { csrPem: csr.toString('pem'), keyPem: x509.PemConverter.encode(pkcs8, 'PRIVATE KEY') };
}

interface EcKeyGenParams {
  readonly name: string;
  readonly namedCurve: string;
}
