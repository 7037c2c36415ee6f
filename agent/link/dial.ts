import { createClient, type TypedClient } from '../../proto/client.js';
import { agentLink } from '../../proto/services.js';
import { tlsDial } from '../../proto/tls-dial.js';
import type { Identity } from '../identity.js';

export type LinkClient = TypedClient<typeof agentLink.methods>;

/** A client with our certificate that believes this controller's CA and nobody else. Every call shares one connection. */
export function dial(identity: Identity): LinkClient {
  const { caPem, keyPem, certificatePem, linkAddress } = identity;
  const target = tlsDial(linkAddress, { caPem, own: { keyPem, certificatePem } });
  return createClient(agentLink, {
    ...target,
    channel: {
      ...target.channel,
      // A cut cable shows within seconds although no FIN ever comes.
      'grpc.keepalive_time_ms': 5_000,
      'grpc.keepalive_timeout_ms': 4_000,
      'grpc.keepalive_permit_without_calls': 1,
      // Each attempt dials anew, at our own pace, with the identity of that moment.
      'grpc.use_local_subchannel_pool': 1,
      'grpc.enable_retries': 0,
      'grpc.max_receive_message_length': 16 * 1024 * 1024,
      'grpc.max_send_message_length': 64 * 1024 * 1024,
    },
  });
}

export const BACKOFF_MIN_MS = 200;
export const BACKOFF_MAX_MS = 5_000;

/** Doubling pauses with jitter, so that a thousand agents do not come back in one moment. `random`: 0 to 1. */
export function backoffMs(attempt: number, random: number): number {
  const ceiling = Math.min(BACKOFF_MAX_MS, BACKOFF_MIN_MS * 2 ** Math.min(attempt, 20));
  return ceiling * (0.5 + random / 2);
}
