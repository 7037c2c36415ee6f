import type { IncomingMessage } from 'node:http';
import { OstlerError } from '../../../proto/kit/errors.js';
import type { Throttle } from '../../auth/throttle.js';
import type { Tokens } from '../../auth/tokens.js';

/** Metrics name every VM: any token may read them, and nobody without one, unless the config opens them. */
export type MetricsGuard = (request: IncomingMessage) => Promise<void>;

export function createMetricsGuard(
  options: { readonly open: boolean },
  deps: { readonly tokens: Tokens; readonly throttle: Throttle },
): MetricsGuard {
  return async (request) => {
    if (options.open) return;
    const secret = /^Bearer +(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
    if (secret !== undefined && deps.tokens.verify(secret) !== undefined) return;
    if (secret !== undefined)
      await deps.throttle.failed(request.socket.remoteAddress ?? '', AbortSignal.timeout(5_000));
    throw new OstlerError('UNAUTHENTICATED', "/metrics needs a token; a viewer's is enough.", {
      remedy: 'Give Prometheus `authorization.credentials_file`, or set http.publicMetrics.',
    });
  };
}
