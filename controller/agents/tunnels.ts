import { randomBytes } from 'node:crypto';
import { Duplex } from 'node:stream';
import type { ServerDuplexStream } from '@grpc/grpc-js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Clock } from '../../proto/kit/clock.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { MalformedRequest } from '../../proto/service.js';
import { fromErrorDetail } from '../../proto/status.js';

type Frame = ostler.v1.TunnelFrame.$Properties;
export type TunnelCall = ServerDuplexStream<Frame, Frame>;

/** Brings together who wants bytes of a host and the stream that its agent opens for them. */
export interface Tunnels {
  /** An id that cannot be guessed, and the bytes once the agent has called back. TIMEOUT after `timeoutMs`. */
  expect(
    hostId: string,
    hostName: string,
    options: { readonly timeoutMs: number; readonly signal: AbortSignal },
  ): { readonly id: string; readonly ready: Promise<Duplex>; refuse(error: OstlerError): void };
  /** A Tunnel call of this host; `first` is its first frame. Resolves when the tunnel is over. NOT_FOUND for a wrong id. */
  accept(hostId: string, first: Frame, call: TunnelCall): Promise<void>;
}

interface Expected {
  readonly hostId: string;
  readonly take: (call: TunnelCall, first: Frame) => Duplex;
}

/** grpc-js takes messages of 4 MiB; smaller ones share the connection better with the link. */
const FRAME_BYTES = 64 * 1024;

export function createTunnels(deps: { readonly clock: Clock }): Tunnels {
  const expected = new Map<string, Expected>();
  return {
    expect: (hostId, hostName, { timeoutMs, signal }) => {
      const id = randomBytes(24).toString('base64url');
      const over = new AbortController();
      let refuse: (error: Error) => void = () => undefined;
      const ready = new Promise<Duplex>((resolve, reject) => {
        refuse = reject;
        const take = (call: TunnelCall, first: Frame): Duplex => {
          expected.delete(id);
          const duplex = tunnelDuplex(call, first, signal);
          resolve(duplex);
          return duplex;
        };
        expected.set(id, { hostId, take });
        deps.clock.sleep(timeoutMs, AbortSignal.any([signal, over.signal])).then(
          () => reject(notCalledBack(hostName, timeoutMs)),
          (reason: unknown) => reject(reason as Error),
        );
      }).finally(() => {
        expected.delete(id);
        over.abort();
      });
      ready.catch(() => undefined);
      return { id, ready, refuse };
    },
    accept: async (hostId, first, call) => {
      const wanted = expected.get(first.tunnel ?? '');
      // One answer for a wrong id and another host's id: neither is worth a hint.
      if (wanted?.hostId !== hostId) {
        throw new OstlerError('NOT_FOUND', 'Nobody waits for this tunnel.', { field: 'tunnel' });
      }
      const duplex = wanted.take(call, first);
      await new Promise<void>((resolve) => duplex.once('close', resolve));
    },
  };
}

function notCalledBack(hostName: string, timeoutMs: number): OstlerError {
  return new OstlerError('TIMEOUT', `The agent of ${hostName} did not open the console within ${timeoutMs / 1000} s.`, {
    remedy: 'Try again; then look at the log of that agent.',
    metadata: { host: hostName },
  });
}

/**
 * Plain bytes over a Tunnel call, with backpressure both ways. Emits `replayed` when what came before is history of the
 * serial console. An error frame of the agent destroys it with that error; the agent's end ends both sides.
 */
function tunnelDuplex(call: TunnelCall, first: Frame, signal: AbortSignal): Duplex {
  const duplex: Duplex = new Duplex({
    allowHalfOpen: false,
    read: () => void call.resume(),
    write: (chunk: Buffer, _encoding, done) => writeFrames(call, chunk, done),
    final: (done) => {
      call.end();
      done();
    },
    destroy: (error, done) => {
      signal.removeEventListener('abort', onAbort);
      call.end();
      done(error);
    },
  });
  const onAbort = (): void => void duplex.destroy();
  signal.addEventListener('abort', onAbort, { once: true });

  const take = (frame: Frame | MalformedRequest): void => {
    if (frame instanceof MalformedRequest) {
      duplex.destroy(new OstlerError('INVALID_FIELD', `tunnel: ${frame.reason}`));
      return;
    }
    if (frame.error !== null && frame.error !== undefined) {
      duplex.destroy(OstlerError.fromInfo(fromErrorDetail(frame.error)));
      return;
    }
    if (frame.replayedEnd === true) duplex.emit('replayed');
    const data = frame.data;
    if (data !== null && data !== undefined && data.length > 0 && !duplex.push(data)) call.pause();
  };
  call.on('data', take);
  call.on('end', () => void duplex.push(null));
  call.on('cancelled', () => {
    if (!duplex.readableEnded) duplex.destroy(new OstlerError('HOST_UNREACHABLE', 'The connection to the host ended.'));
  });
  call.on('error', (error: Error) => void duplex.destroy(error));
  take(first);
  return duplex;
}

function writeFrames(call: TunnelCall, chunk: Buffer, done: (error?: Error) => void): void {
  let flowing = true;
  for (let start = 0; start < chunk.length; start += FRAME_BYTES) {
    flowing = call.write({ data: chunk.subarray(start, start + FRAME_BYTES) });
  }
  if (flowing) done();
  else call.once('drain', () => done());
}
