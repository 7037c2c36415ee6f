import type { ostler } from '../../proto/gen/ostler.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import { isAborted } from '../../proto/kit/loop.js';
import type { HostFacts } from '../../proto/model/host.js';
import type { MetricsSample } from '../drivers/metrics.js';
import type { Identity } from '../identity.js';
import { eventToWire } from '../outbox.js';
import { backoffMs, dial, type LinkClient } from './dial.js';
import { answerQuery, type QueryDeps } from './queries.js';
import { startSession, type Session, type SessionDeps } from './session.js';
import type { HelloData } from './wire.js';
import { domainReportToWire, hostFactsToWire, inventoryToWire, metricsToWire } from './wire.js';

interface Deps extends Omit<SessionDeps, 'answer' | 'inventory' | 'onWelcome'> {
  readonly query: Omit<QueryDeps, 'openTunnelCall'>;
  /** As it is at the moment of dialling: the certificate may have been renewed. */
  readonly identity: () => Promise<Identity>;
  readonly hello: () => Promise<Omit<HelloData, 'host'>>;
  readonly onMetricsInterval: (ms: number) => void;
  /** 0 to 1. */
  readonly random: () => number;
}

/** The connection to the controller, kept up for ever; what is told while it is down waits or is out of date anyway. */
export interface Link {
  run(signal: AbortSignal): Promise<void>;
  readonly up: boolean;
  /** Dials anew (with the identity of now). */
  redial(): void;
  result(result: ostler.v1.CommandResult.$Properties): void;
  progress(command: string, percent: number, detail: string): void;
  facts(facts: HostFacts): void;
  metrics(sample: MetricsSample): void;
  /** Bytes of an image from `offset` on. Waits a while for a link that is down. */
  fetchImage(image: string, offset: number, signal: AbortSignal): AsyncIterable<Uint8Array>;
  /** The client of the present link; waits a while for one. HOST_UNREACHABLE when none comes. */
  client(signal: AbortSignal): Promise<LinkClient>;
}

const WAIT_FOR_LINK_MS = 60_000;
const POLL_MS = 100;
/** A session that lived this long was a success: the next failure starts with short pauses again. */
const STABLE_MS = 10_000;
/** The controller took us in: it works, and a restart of it should cost a second, not five. */
const WELCOMED_ATTEMPT = 1;

export function createLink(deps: Deps): Link {
  const { clock, log, outbox } = deps;
  const { observer } = deps.query;
  let client: LinkClient | undefined;
  let session: Session | undefined;
  /** Told since the Hello was put together: a session that begins later starts with them. */
  let newerFacts: HostFacts | undefined;
  let welcomes = 0;
  let redial: () => void = () => undefined;

  outbox.onDurable = (event) => session?.outgoing.send({ event: eventToWire(event) });
  observer.onReport = (report) =>
    session?.outgoing.sendLatest(`domain ${report.uuid}`, { domainReport: domainReportToWire(report) });
  observer.onInventory = (inventory) => {
    // The heartbeat first: that libvirt is away must be said at once.
    session?.heartbeat();
    if (inventory.connected) session?.outgoing.sendLatest('inventory', { inventory: inventoryToWire(inventory) });
  };

  const sendFacts = (facts: HostFacts): void => {
    session?.outgoing.sendLatest('facts', { facts: hostFactsToWire(facts) });
  };

  const connectOnce = async (signal: AbortSignal): Promise<void> => {
    newerFacts = undefined;
    const [identity, hello] = await Promise.all([deps.identity(), deps.hello()]);
    const dialled = dial(identity);
    try {
      const call = dialled.connect();
      const stop = new Promise<never>((_resolve, reject) => {
        redial = () => reject(new OstlerError('CANCELLED', 'Dialling anew.'));
        signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true });
      });
      stop.catch(() => undefined);
      const began = startSession(
        call,
        { ...hello, host: identity.host },
        {
          ...deps,
          inventory: () => observer.inventory(),
          answer: (query) => answerQuery(query, { ...deps.query, openTunnelCall: () => dialled.tunnel() }),
          onWelcome: ({ controllerId, metricsIntervalMs }) => {
            session = began;
            welcomes += 1;
            if (newerFacts !== undefined) sendFacts(newerFacts);
            client = dialled;
            log.info({ controller: controllerId, address: identity.linkAddress }, 'connected to the controller');
            if (metricsIntervalMs) deps.onMetricsInterval(metricsIntervalMs);
          },
        },
      );
      try {
        await Promise.race([began.ended, stop]);
      } finally {
        call.cancel();
      }
    } finally {
      session = undefined;
      client = undefined;
      dialled.close();
    }
  };

  const waitForClient = async (signal: AbortSignal): Promise<LinkClient> => {
    const end = clock.monotonic() + WAIT_FOR_LINK_MS;
    while (client === undefined) {
      if (clock.monotonic() > end)
        throw new OstlerError('HOST_UNREACHABLE', 'There has been no connection to the controller for a minute.');
      await clock.sleep(POLL_MS, signal);
    }
    return client;
  };

  return {
    get up() {
      return session !== undefined;
    },
    redial: () => redial(),
    result: (commandResult) => session?.outgoing.send({ commandResult }),
    progress: (command, percent, detail) =>
      session?.outgoing.sendLatest(`progress ${command}`, { commandProgress: { command, percent, detail } }),
    facts: (facts) => {
      newerFacts = facts;
      sendFacts(facts);
    },
    metrics: (sample) => session?.outgoing.sendSample({ metrics: metricsToWire(sample) }),
    client: waitForClient,
    async *fetchImage(image, offset, signal) {
      const present = await waitForClient(signal);
      try {
        for await (const { chunk } of present.fetchImage({ image, offset }, { signal })) yield chunk;
      } catch (error) {
        throw signal.aborted ? error : asInterrupted(toOstlerError(error));
      }
    },
    async run(signal) {
      for (let attempt = 0; !isAborted(signal); attempt++) {
        const started = clock.monotonic();
        const before = welcomes;
        try {
          await connectOnce(signal);
        } catch (error) {
          if (isAborted(signal)) return;
          const { code, message } = toOstlerError(error);
          log.warn({ reason: code, why: message }, 'the link to the controller is down');
        }
        if (clock.monotonic() - started > STABLE_MS) attempt = 0;
        else if (welcomes > before) attempt = Math.min(attempt, WELCOMED_ATTEMPT);
        await clock.sleep(backoffMs(attempt, deps.random()), signal).catch(() => undefined);
      }
    },
  };
}

/** A stream that ends because its connection does has many names in gRPC; to us they all mean "go on later". */
function asInterrupted(error: OstlerError): OstlerError {
  if (error.code !== 'CANCELLED' && error.code !== 'INTERNAL') return error;
  return new OstlerError('HOST_UNREACHABLE', `The transfer was interrupted: ${error.message}`, { cause: error });
}
