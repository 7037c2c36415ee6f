import type { FaultPoint } from '../../proto/kit/fault.js';
import type { EventDraft, OperationDoc } from '../core/model.js';
import type { EventLog } from './env.js';

/** Events that were committed with an operation go to the log; by their keys they may be sent there again after a crash. */
export type Publish = (op: OperationDoc) => Promise<void>;

export function createPublisher(deps: { readonly events: EventLog; readonly fault: FaultPoint }): Publish {
  return async (op) => {
    for (const draft of op.outbox) {
      deps.fault('event.appending');
      await deps.events.append(draft satisfies EventDraft);
      deps.fault('event.appended');
    }
  };
}
