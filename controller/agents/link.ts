import type { ServerDuplexStream } from '@grpc/grpc-js';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { wellFormed, type CallContext } from '../../proto/server.js';
import type { LinkPort } from './link-port.js';
import type { Registry } from './registry.js';

export interface LinkServerSettings {
  readonly controllerId: string;
  readonly heartbeatIntervalMs: number;
  readonly metricsIntervalMs: number;
}

type AgentMessage = ostler.v1.AgentMessage & ostler.v1.AgentMessage.$Shape;
type LinkCall = ServerDuplexStream<AgentMessage, ostler.v1.ControllerMessage.$Properties>;

interface OpenLinkDeps {
  readonly registry: Registry;
  readonly hostName: (hostId: string) => string | undefined;
  readonly clock: Clock;
  readonly log: Log;
  readonly hostId: string;
  readonly call: LinkCall;
  readonly context: CallContext;
}

const PROTOCOL_VERSION = 1;
const HELLO_MS = 10_000;

/** One link from its hello to its end. Resolves when the agent ended it, rejects with why when this side did. */
export function openLink(settings: LinkServerSettings, deps: OpenLinkDeps): Promise<void> {
  const { registry, hostId, call, context, clock, log } = deps;
  return new Promise((resolve, reject) => {
    const ended = new AbortController();
    let attached = false;

    function finish(why: string, error?: OstlerError): void {
      if (ended.signal.aborted) return;
      ended.abort();
      if (attached) registry.detach(hostId, port, why);
      if (error === undefined) resolve();
      else reject(error);
    }

    const port: LinkPort = {
      write: (message) => {
        if (!ended.signal.aborted) call.write(message);
      },
      end: (why) => finish(why.message, why),
    };

    function take(message: AgentMessage): void {
      if (ended.signal.aborted) return;
      if (attached) {
        registry.receive(hostId, port, message);
        return;
      }
      if (message.body !== 'hello') throw invalid('hello', 'must be the first message of a link');
      checkHello(message.hello, hostId, deps.hostName(hostId));
      attached = true;
      // Before the registry tells anybody that the host is there: nothing may be sent ahead of the welcome.
      port.write({
        welcome: {
          controllerId: settings.controllerId,
          heartbeatIntervalMs: settings.heartbeatIntervalMs,
          metricsIntervalMs: settings.metricsIntervalMs,
        },
      });
      registry.attach(hostId, message.hello, port);
    }

    call.on('data', (message: AgentMessage) => {
      try {
        take(wellFormed(message) as AgentMessage);
      } catch (error) {
        const refusal = toOstlerError(error);
        // Bytes that do not decode are one message lost, as one that does not parse is.
        if (attached) {
          log.warn({ err: refusal, host: hostId }, 'message of an agent was dropped');
          return;
        }
        log.warn({ err: refusal, host: hostId }, 'link refused');
        finish(refusal.message, refusal);
      }
    });
    call.on('end', () => finish('the agent ended the link'));
    call.on('error', (error: Error) => finish(`the connection broke: ${error.message}`));
    context.signal.addEventListener('abort', () => finish('the connection broke'), { once: true });
    if (context.signal.aborted) finish('the connection broke');
    clock.sleep(HELLO_MS, ended.signal).then(
      () => {
        if (!attached) finish('no hello', invalid('hello', `did not come within ${HELLO_MS / 1000} s`));
      },
      () => undefined,
    );
    call.resume();
  });
}

function checkHello(hello: ostler.v1.Hello.$Properties, hostId: string, hostName: string | undefined): void {
  const claimed = hello.host ?? '';
  if (claimed !== hostId && claimed !== hostName) {
    throw new OstlerError('PERMISSION_DENIED', 'hello.host: is not the host of this certificate.', {
      field: 'hello.host',
      remedy: 'Join this machine anew with `ostler-agent join`.',
    });
  }
  if (hello.protocolVersion !== PROTOCOL_VERSION) {
    throw new OstlerError(
      'UNSUPPORTED',
      `hello.protocol_version: is ${hello.protocolVersion ?? 0}; this controller speaks ${PROTOCOL_VERSION}.`,
      { field: 'hello.protocol_version', remedy: 'Bring agent and controller to the same version.' },
    );
  }
}

function invalid(field: string, why: string): OstlerError {
  return new OstlerError('INVALID_FIELD', `${field}: ${why}.`, { field });
}
