import { createPrivateKey, X509Certificate } from 'node:crypto';
import type { Clock } from '../proto/kit/clock.js';
import type { Log } from '../proto/kit/log.js';
import { isAborted } from '../proto/kit/loop.js';
import { checkIssued, createRequest, readIdentity, writeIdentity } from './identity.js';
import type { LinkClient } from './link/dial.js';

interface Deps {
  readonly clock: Clock;
  readonly log: Log;
  readonly client: (signal: AbortSignal) => Promise<LinkClient>;
  readonly redial: () => void;
}

const RETRY_MS = 60_000;
/** Timers hold at most 2^31 ms; and a clock that was set shows within the hour. */
const LOOK_AGAIN_MS = 3_600_000;

/** When two thirds of a certificate's life are over, in milliseconds since 1970: time enough for a controller that is away. */
export function renewalTime(certificatePem: string): number {
  const { validFrom, validTo } = new X509Certificate(certificatePem);
  const from = Date.parse(validFrom);
  return from + ((Date.parse(validTo) - from) * 2) / 3;
}

/** Renews the certificate over the link, with a new key each time, until the signal aborts. */
export async function runRenewal(identityFile: string, deps: Deps, signal: AbortSignal): Promise<void> {
  const { clock, log } = deps;
  while (!isAborted(signal)) {
    let pause = RETRY_MS;
    try {
      const due = renewalTime((await readIdentity(identityFile)).certificatePem);
      if (clock.now() >= due) await renew(identityFile, deps, signal);
      else pause = Math.min(LOOK_AGAIN_MS, due - clock.now());
    } catch (error) {
      if (!isAborted(signal)) log.warn({ err: error }, 'the certificate could not be renewed yet');
    }
    await clock.sleep(pause, signal).catch(() => undefined);
  }
}

async function renew(identityFile: string, deps: Deps, signal: AbortSignal): Promise<void> {
  const old = await readIdentity(identityFile);
  const { keyPem, csrPem } = await createRequest(old.host);
  const client = await deps.client(signal);
  const answer = await client.renewCertificate({ csrPem }, { signal });
  const key = createPrivateKey(keyPem);
  // The CA may be a new one that the old one vouches for by sending it over this link.
  const caPem = answer.caPem === '' ? old.caPem : answer.caPem;
  const host = checkIssued(answer.certificatePem, caPem, (certificate) => certificate.checkPrivateKey(key));
  await writeIdentity(identityFile, { ...old, host, keyPem, certificatePem: answer.certificatePem, caPem });
  deps.log.info({ host }, 'certificate renewed');
  deps.redial();
}
