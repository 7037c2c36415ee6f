import type { ClientDuplexStream } from '@grpc/grpc-js';
import type { ostler } from '../../proto/gen/ostler.js';
import { toOstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import { toErrorDetail } from '../../proto/status.js';
import type { ConsoleView } from '../drivers/console.js';

type Frame = ostler.v1.TunnelFrame.$Properties;
export type TunnelCall = ClientDuplexStream<Frame, ostler.v1.TunnelFrame>;

/** Well under gRPC's message limit. */
const FRAME_BYTES = 64 * 1024;

/**
 * Carries a console's bytes over a gRPC stream of its own until either side ends. Both ways the slower side sets the pace:
 * neither a slow browser nor a guest that does not read fills anybody's memory.
 */
export function carryTunnel(
  options: { readonly tunnel: string; readonly view: ConsoleView; readonly markReplay: boolean },
  call: TunnelCall,
  log: Log,
): void {
  const { stream, history } = options.view;
  let over = false;
  const end = (error?: unknown): void => {
    if (over) return;
    over = true;
    stream.destroy();
    if (error !== undefined) call.write({ error: toErrorDetail(toOstlerError(error).toInfo()) });
    call.end();
    // A peer that never ends its half would keep the stream for ever.
    setTimeout(() => call.cancel(), 1_000).unref();
  };

  call.write({ tunnel: options.tunnel });
  for (let at = 0; at < history.length; at += FRAME_BYTES) call.write({ data: history.subarray(at, at + FRAME_BYTES) });
  if (options.markReplay) call.write({ replayedEnd: true });

  stream.on('data', (chunk: Buffer) => {
    for (let at = 0; at < chunk.length; at += FRAME_BYTES)
      if (!call.write({ data: chunk.subarray(at, at + FRAME_BYTES) })) stream.pause();
  });
  call.on('drain', () => stream.resume());
  stream.once('error', end);
  stream.once('end', () => end());
  stream.once('close', () => end());

  call.on('data', ({ data }: ostler.v1.TunnelFrame) => {
    if (over || data.length === 0) return;
    if (!stream.write(data)) call.pause();
  });
  stream.on('drain', () => call.resume());
  call.once('end', () => end());
  call.once('error', (error) => {
    log.debug({ err: error, tunnel: options.tunnel }, 'tunnel ended');
    end();
  });
}
