import { createHash, webcrypto } from 'node:crypto';
import {
  BasicConstraintsExtension,
  Pkcs10CertificateRequest,
  SubjectAlternativeNameExtension,
  X509CertificateGenerator,
  type X509Certificate,
} from '../../../proto/x509.js';

const EC = { name: 'ECDSA', namedCurve: 'P-256' };
const SIGN = { name: 'ECDSA', hash: 'SHA-256' };
const HOUR_MS = 3_600_000;

type Keys = webcrypto.CryptoKeyPair;

export interface TestCa {
  readonly pem: string;
  /** SHA-256 of the DER form, as join tokens carry it. */
  readonly fingerprint: string;
  /** For a server on 127.0.0.1 and localhost; the chain includes the CA. */
  server(): Promise<{ keyPem: string; chainPem: string }>;
  /** Signs a request; the name is what the controller decides, not what the request says. */
  sign(csrPem: string, host: string, lifeMs?: number): Promise<string>;
}

async function pemOf(keys: Keys): Promise<string> {
  const body = Buffer.from(await webcrypto.subtle.exportKey('pkcs8', keys.privateKey)).toString('base64');
  return `-----BEGIN PRIVATE KEY-----\n${body.match(/.{1,64}/g)!.join('\n')}\n-----END PRIVATE KEY-----\n`;
}

export async function createTestCa(name = 'Test CA'): Promise<TestCa> {
  const keys = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
  const from = new Date(Date.now() - 60_000);
  const ca: X509Certificate = await X509CertificateGenerator.createSelfSigned({
    serialNumber: '01',
    name: `CN=${name}`,
    notBefore: from,
    notAfter: new Date(Date.now() + HOUR_MS),
    keys,
    signingAlgorithm: SIGN,
    extensions: [new BasicConstraintsExtension(true, 0, true)],
  });
  const issue = async (
    publicKey: webcrypto.CryptoKey,
    subject: string,
    options: { san?: boolean; notAfter: Date; notBefore?: Date },
  ): Promise<string> => {
    const certificate = await X509CertificateGenerator.create({
      serialNumber: Date.now().toString(16),
      subject: [{ CN: [subject] }],
      issuer: ca.subject,
      notBefore: options.notBefore ?? from,
      notAfter: options.notAfter,
      publicKey,
      signingKey: keys.privateKey,
      signingAlgorithm: SIGN,
      extensions: options.san
        ? [
            new SubjectAlternativeNameExtension([
              { type: 'ip', value: '127.0.0.1' },
              { type: 'dns', value: 'localhost' },
            ]),
          ]
        : [],
    });
    return `${certificate.toString('pem')}\n`;
  };
  const pem = `${ca.toString('pem')}\n`;
  return {
    pem,
    fingerprint: createHash('sha256').update(Buffer.from(ca.rawData)).digest('hex'),
    async server() {
      const own = await webcrypto.subtle.generateKey(EC, true, ['sign', 'verify']);
      const certificate = await issue(own.publicKey, 'controller', {
        san: true,
        notAfter: new Date(Date.now() + HOUR_MS),
      });
      return { keyPem: await pemOf(own), chainPem: certificate + pem };
    },
    async sign(csrPem, host, lifeMs = HOUR_MS) {
      const request = new Pkcs10CertificateRequest(csrPem);
      if (!(await request.verify())) throw new Error('the request is not signed by its key');
      const publicKey = (await request.publicKey.export()) as webcrypto.CryptoKey;
      return issue(publicKey, host, { notAfter: new Date(Date.now() + lifeMs) });
    },
  };
}
