import type { DomainReport } from '../../proto/model/host.js';
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

type Subject = Pick<DomainReport, 'uuid' | 'vmId' | 'reason'>;

/** Our event of libvirt's, or undefined when it is not worth one. */
export function edgeEvent(edge: Edge, subject: Subject, life: Life, time: number): AgentEvent | undefined {
  const known = KINDS[edge.event];
  // `undefined`/`renamed` and the like are not the end of anything.
  if (known === undefined || edge.detail === 'renamed') return undefined;
  const base = { kind: known.kind, vmUuid: subject.uuid, vmId: subject.vmId, time };
  const metadata = { event: edge.event, detail: edge.detail };
  if (edge.event !== 'stopped') return { ...base, message: known.message, metadata };
  const cause = exitCause({ events: life.events, requested: life.intent, shutoffReason: subject.reason });
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
    const cause = exitCause({ events: [], requested: intent, shutoffReason: now.reason });
    return { ...base, kind: 'domain.stopped', message: describeExit(cause), metadata: { ...missed, cause } };
  }
  if (!isActive(before.state) && isActive(now.state))
    return { ...base, kind: 'domain.started', message: 'It started while libvirt was not watched.', metadata: missed };
  if (before.state !== 'gone' && now.state === 'gone')
    return { ...base, kind: 'domain.undefined', message: 'Its definition was removed.', metadata: missed };
  return undefined;
}
