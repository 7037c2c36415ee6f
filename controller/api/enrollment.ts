import type { enrollmentService } from '../../proto/services.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { Throttle } from '../auth/throttle.js';
import type { HostIdentity } from '../ca/host-identity.js';
import type { Agents } from '../engine/env.js';
import type { ApiHandlers } from './call.js';
import { required } from './lookup.js';

export interface EnrollmentDeps {
  readonly identity: HostIdentity;
  readonly agents: Agents;
  readonly throttle: Throttle;
  readonly caPem: string;
  /** host:port of the agents' listener as hosts reach it. */
  readonly linkAddress: string;
}

/** `ostler-agent join`: the one-time secret of the join token is the proof. */
export function createEnrollment(deps: EnrollmentDeps): ApiHandlers<(typeof enrollmentService)['methods']> {
  return {
    join: async (request, call) => {
      required(request.host, 'host');
      required(request.csrPem, 'csr_pem');
      if (request.secret.length > 256) throw invalidField('secret', 'is too long');
      try {
        const { host, certificatePem } = await deps.identity.join(request.host, request.secret, request.csrPem);
        // A link of the machine's earlier life ends: its certificate has.
        deps.agents.disconnect(host.id, 'The host joined anew.');
        return { host: host.id, certificatePem, caPem: deps.caPem, linkAddress: deps.linkAddress };
      } catch (error) {
        const guessed = error instanceof OstlerError && error.code === 'PERMISSION_DENIED';
        if (guessed) await deps.throttle.failed(call.peer, call.signal);
        throw error;
      }
    },
  };
}
