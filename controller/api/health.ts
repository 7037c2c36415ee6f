import type { ServerUnaryCall, ServerWritableStream, sendUnaryData, UntypedServiceImplementation } from '@grpc/grpc-js';
import { OstlerError } from '../../proto/kit/errors.js';
import { toServiceError } from '../../proto/status.js';

interface CheckRequest {
  readonly service: string;
}
type Status = 'SERVING' | 'NOT_SERVING' | 'SERVICE_UNKNOWN';
interface CheckResponse {
  readonly status: Status;
}

/** grpc.health.v1.Health; needs no token, and tells nothing but whether the controller takes calls. */
export interface Health {
  readonly implementation: UntypedServiceImplementation;
  setServing(serving: boolean): void;
}

export function createHealth(serviceNames: readonly string[]): Health {
  let serving = false;
  const known = new Set(['', ...serviceNames]);
  const watchers = new Set<() => void>();
  const statusOf = (service: string): Status =>
    known.has(service) ? (serving ? 'SERVING' : 'NOT_SERVING') : 'SERVICE_UNKNOWN';
  return {
    setServing: (value) => {
      serving = value;
      for (const notify of watchers) notify();
    },
    implementation: {
      check: (call: ServerUnaryCall<CheckRequest, CheckResponse>, done: sendUnaryData<CheckResponse>) => {
        const status = statusOf(call.request.service);
        if (status !== 'SERVICE_UNKNOWN') done(null, { status });
        else
          done(
            toServiceError(
              new OstlerError('NOT_FOUND', 'service: there is no service of that name here.', { field: 'service' }),
            ),
          );
      },
      watch: (call: ServerWritableStream<CheckRequest, CheckResponse>) => {
        let last: Status | undefined;
        const notify = (): void => {
          const status = statusOf(call.request.service);
          if (status !== last) call.write({ status });
          last = status;
        };
        watchers.add(notify);
        call.on('cancelled', () => {
          watchers.delete(notify);
          call.end();
        });
        notify();
      },
    },
  };
}
