import type { DomainReport, ExitCause } from '../../proto/model/host.js';
import { describeExit, exitCause } from '../core/exit-cause.js';
import type { AgentEvent } from '../outbox.js';
import { isActive } from './domain-state.js';
import type { Intent } from './intents.js';

/** libvirt's lifecycle event → ours; those that are not here are only part of another one's story. */
const KINDS: Readonly<Record<string, { readonly kind: string; readonly message: string }>> = {
  started: { kind: 'domain.started', message: 'It started.' },
  stopped: { kind: 'domain.stopped', message: '' },
  crashed: { kind: 'domain.crashed', message: 'The guest crashed.' },
  suspended: { kind: 'domain.paused', message: 'It was paused.' },
  resumed: { kind: 'domain.resumed', message: 'It goes on.' },
  undefined: { kind: 'domain.undefined', message: 'Its definition was removed.' },
};

export interface Edge {
  readonly event: string;
  readonly detail: string;
}

/** A life's lifecycle events, oldest first, and what we asked of it: what an exit is judged by. */
export interface Life {
  readonly events: readonly Edge[];
  readonly intent: Intent;
}

/** A restart that we asked for is none of the guest's own. */
export function rebootEvent(subject: { uuid: string; vmId: string }, asked: boolean, time: number): AgentEvent {
  const message = asked ? 'The guest restarted as asked.' : 'The guest restarted by itself, or was reset on the host.';
  const metadata = { cause: asked ? 'requested-reboot' : 'guest-reboot' };
  return { kind: 'domain.rebooted', vmUuid: subject.uuid, vmId: subject.vmId, message, metadata, time };
}

/** Why a life ended, for exit-cause.ts: a restart that was asked for explains no end. */
function requestedOf(intent: Intent): 'none' | 'shutdown' | 'destroy' {
  return intent === 'reboot' ? 'none' : intent;
}

/** Why a domain that is off is off. */
export function causeOf(events: readonly Edge[], intent: Intent, shutoffReason: string): ExitCause {
  return exitCause({ events, requested: requestedOf(intent), shutoffReason });
}

type Subject = Pick<DomainReport, 'uuid' | 'vmId' | 'reason'>;

/** Our event of libvirt's, or undefined when it is not worth one. */
export function edgeEvent(edge: Edge, subject: Subject, life: Life, time: number): AgentEvent | undefined {
  const known = KINDS[edge.event];
  // `undefined`/`renamed` and the like are not the end of anything.
  if (known === undefined || edge.detail === 'renamed') return undefined;
  const base = { kind: known.kind, vmUuid: subject.uuid, vmId: subject.vmId, time };
  const metadata = { event: edge.event, detail: edge.detail };
  if (edge.event !== 'stopped') return { ...base, message: known.message, metadata };
  const cause = causeOf(life.events, life.intent, subject.reason);
  return { ...base, message: describeExit(cause), metadata: { ...metadata, cause } };
}

/**
 * The event that must have happened between two sights of a domain, while libvirt or the agent was away. `before` is
 * undefined for a domain that is new to us.
 */
export function missedEdge(
  before: DomainReport,
  now: DomainReport,
  intent: Intent,
  time: number,
): AgentEvent | undefined {
  const base = { vmUuid: now.uuid, vmId: now.vmId === '' ? before.vmId : now.vmId, time };
  const missed = { missed: 'true', state: now.state, reason: now.reason };
  if (isActive(before.state) && !isActive(now.state)) {
    const cause = causeOf([], intent, now.reason);
    return { ...base, kind: 'domain.stopped', message: describeExit(cause), metadata: { ...missed, cause } };
  }
  if (!isActive(before.state) && isActive(now.state))
    return { ...base, kind: 'domain.started', message: 'It started while libvirt was not watched.', metadata: missed };
  if (before.state !== 'gone' && now.state === 'gone')
    return { ...base, kind: 'domain.undefined', message: 'Its definition was removed.', metadata: missed };
  return undefined;
}
