import type { Clock } from '../../proto/kit/clock.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { OperationDoc } from '../core/model.js';
import type { PlannedCommand } from '../core/operations/advance.js';
import { commandToWire } from './commands.js';
import type { Agents } from './env.js';

/**
 * Sees to it that the command that must be at work is with its agent: sent once over every link of the host and again after
 * a while, for an agent that lost it. Safe, because an agent knows the ids of its commands.
 */
export interface Executor {
  ensure(op: OperationDoc, command: PlannedCommand): void;
  forget(operationId: string): void;
}

const AGAIN_AFTER_MS = 30_000;

interface Sent {
  readonly commandId: string;
  readonly link: number;
  readonly at: number;
  cancelled: boolean;
}

export function createExecutor(deps: {
  readonly agents: Agents;
  readonly clock: Clock;
  readonly fault: FaultPoint;
}): Executor {
  const { agents, clock, fault } = deps;
  const sent = new Map<string, Sent>();

  function deliver(command: PlannedCommand, link: number, cancelled: boolean): Sent {
    fault('command.sending');
    agents.send(command.hostId, commandToWire(command));
    fault('command.sent');
    const record = { commandId: command.id, link, at: clock.monotonic(), cancelled };
    sent.set(command.operation, record);
    return record;
  }

  return {
    ensure: (op, command) => {
      const view = agents.view(command.hostId);
      if (view?.online !== true) return;
      const last = sent.get(op.id);
      const same = last?.commandId === command.id && last.link === view.link;
      const fresh = same && clock.monotonic() - last.at < AGAIN_AFTER_MS;
      const present = fresh ? last : deliver(command, view.link, same && last.cancelled);
      // What takes something back is never cancelled.
      if (!op.cancelRequested || op.state === 'undoing' || present.cancelled) return;
      fault('command.cancelling');
      agents.cancel(command.hostId, command.id);
      present.cancelled = true;
    },
    forget: (operationId) => {
      sent.delete(operationId);
    },
  };
}
