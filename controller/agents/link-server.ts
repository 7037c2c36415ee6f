import type { ServerDuplexStream, UntypedServiceImplementation } from '@grpc/grpc-js';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { implement, type CallContext } from '../../proto/server.js';
import { MalformedRequest } from '../../proto/service.js';
import { agentLink } from '../../proto/services.js';
import { openLink, type LinkServerSettings } from './link.js';
import type { Registry } from './registry.js';

export interface LinkServerOptions {
  readonly controllerId: string;
  /** How often agents send heartbeats and samples; defaults 1000 and 10 000 ms. */
  readonly heartbeatIntervalMs?: number;
  readonly metricsIntervalMs?: number;
}

export interface HostIdentity {
  readonly hostId: string;
}

export interface LinkServerDeps {
  readonly registry: Registry;
  /**
   * Which host may speak with this certificate (DER). Throws UNAUTHENTICATED without one, PERMISSION_DENIED for one that is
   * not its host's present one.
   */
  readonly identify: (certificate: Buffer | undefined) => HostIdentity | Promise<HostIdentity>;
  /** Id and name of the host, for comparing with what the agent says it is. */
  readonly hostName: (hostId: string) => string | undefined;
  /** Bytes of an image that is ready, from `offset`. NOT_FOUND, WRONG_STATE. */
  readonly openImage: (imageId: string, offset: number) => AsyncIterable<Buffer>;
  readonly renewCertificate: (
    hostId: string,
    csrPem: string,
  ) => Promise<{ readonly certificatePem: string; readonly caPem: string }>;
  readonly clock: Clock;
  readonly log: Log;
}

const CHUNK_BYTES = 1024 * 1024;

/** The handlers of ostler.v1.AgentLink, for `server.addService(toGrpcDefinition(agentLink), …)`. */
export function createLinkServer(options: LinkServerOptions, deps: LinkServerDeps): UntypedServiceImplementation {
  const { registry, identify } = deps;
  const settings: LinkServerSettings = {
    controllerId: options.controllerId,
    heartbeatIntervalMs: options.heartbeatIntervalMs ?? 1000,
    metricsIntervalMs: options.metricsIntervalMs ?? 10_000,
  };
  const hostOf = async (context: CallContext): Promise<string> => (await identify(context.peerCertificate)).hostId;

  return implement(agentLink, {
    connect: async (call, context) => {
      // Before the first await: a message that comes meanwhile waits in the stream.
      call.pause();
      const hostId = await hostOf(context);
      await openLink(settings, { ...deps, hostId, call, context });
    },
    tunnel: async (call, context) => {
      call.pause();
      const hostId = await hostOf(context);
      const first = await firstFrame(call, context.signal);
      await registry.tunnels.accept(hostId, first, call);
    },
    fetchImage: async function* (request, context) {
      await hostOf(context);
      for await (const bytes of deps.openImage(request.image, request.offset)) {
        for (let start = 0; start < bytes.length; start += CHUNK_BYTES) {
          yield { chunk: bytes.subarray(start, start + CHUNK_BYTES) };
        }
      }
    },
    renewCertificate: async (request, context) => {
      return deps.renewCertificate(await hostOf(context), request.csrPem);
    },
  });
}

function firstFrame<I extends ostler.v1.TunnelFrame.$Properties>(
  call: ServerDuplexStream<I, ostler.v1.TunnelFrame.$Properties>,
  signal: AbortSignal,
): Promise<I> {
  return new Promise((resolve, reject) => {
    const over = (): void => reject(new OstlerError('CANCELLED', 'The tunnel ended before its first frame.'));
    call.once('data', (frame: I) => {
      call.pause();
      call.off('end', over);
      if (frame instanceof MalformedRequest) reject(new OstlerError('INVALID_FIELD', `tunnel: ${frame.reason}`));
      else resolve(frame);
    });
    call.once('end', over);
    signal.addEventListener('abort', over, { once: true });
    call.resume();
  });
}
