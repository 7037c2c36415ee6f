import { randomBytes } from 'node:crypto';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Clock } from '../../proto/kit/clock.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { fromErrorDetail } from '../../proto/status.js';
import type { LinkPort } from './link-port.js';

type QueryResult = ostler.v1.QueryResult.$Properties;
export type QueryBody = Omit<ostler.v1.Query.$Properties, 'id' | 'body'>;

/** Questions that an agent answers within seconds, by their ids. */
export interface Queries {
  /** Asks over the link. Fails with the agent's error, TIMEOUT after `timeoutMs`, or the signal's reason. */
  ask(
    hostName: string,
    port: LinkPort,
    body: QueryBody,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): Promise<QueryResult>;
  /** Only the link that was asked may answer. */
  answer(port: LinkPort, result: QueryResult): void;
  /** The link is gone: nobody will answer what was asked over it. */
  drop(port: LinkPort, why: OstlerError): void;
}

interface Waiting {
  readonly port: LinkPort;
  readonly settle: (result: QueryResult | OstlerError) => void;
}

export function createQueries(deps: { readonly clock: Clock }): Queries {
  const waiting = new Map<string, Waiting>();
  return {
    ask: async (hostName, port, body, { timeoutMs, signal }) => {
      const id = randomBytes(9).toString('base64url');
      const over = new AbortController();
      try {
        return await new Promise<QueryResult>((resolve, reject) => {
          waiting.set(id, { port, settle: settleWith(resolve, reject) });
          deps.clock.sleep(timeoutMs, AbortSignal.any([signal, over.signal])).then(
            () => reject(late(hostName, timeoutMs)),
            (reason: unknown) => reject(reason as Error),
          );
          port.write({ query: { id, ...body } });
        });
      } finally {
        waiting.delete(id);
        over.abort();
      }
    },
    answer: (port, result) => {
      const query = waiting.get(result.query ?? '');
      if (query?.port !== port) return;
      query.settle(result);
    },
    drop: (port, why) => {
      for (const query of [...waiting.values()]) if (query.port === port) query.settle(why);
    },
  };
}

function settleWith(resolve: (result: QueryResult) => void, reject: (error: Error) => void): Waiting['settle'] {
  return (result) => {
    if (result instanceof OstlerError) reject(result);
    else if (result.error !== null && result.error !== undefined) {
      reject(OstlerError.fromInfo(fromErrorDetail(result.error)));
    } else resolve(result);
  };
}

function late(hostName: string, timeoutMs: number): OstlerError {
  return new OstlerError('TIMEOUT', `The agent of ${hostName} did not answer within ${timeoutMs / 1000} s.`, {
    remedy: 'Look at its log; libvirt on that host may hang.',
    metadata: { host: hostName },
  });
}
