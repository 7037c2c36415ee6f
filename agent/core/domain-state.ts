import type { DomainState } from '../../proto/model/host.js';

/**
 * libvirt's numbers as its names (include/libvirt/libvirt-domain.h: virDomainState and its reasons, virDomainEventType and
 * its details). A number from a newer libvirt becomes its digits, never an error.
 */
const STATES: readonly { readonly state: DomainState; readonly reasons: readonly string[] }[] = [
  { state: 'gone', reasons: ['unknown'] },
  {
    state: 'running',
    reasons: [
      'unknown',
      'booted',
      'migrated',
      'restored',
      'from snapshot',
      'unpaused',
      'migration canceled',
      'save canceled',
      'wakeup',
      'crashed',
      'post-copy',
      'post-copy failed',
    ],
  },
  { state: 'running', reasons: ['unknown'] }, // blocked: Xen only
  {
    state: 'paused',
    reasons: [
      'unknown',
      'user',
      'migration',
      'save',
      'dump',
      'ioerror',
      'watchdog',
      'from snapshot',
      'shutting down',
      'snapshot',
      'crashed',
      'starting up',
      'post-copy',
      'post-copy failed',
      'api error',
    ],
  },
  { state: 'shutdown', reasons: ['unknown', 'user'] },
  {
    state: 'shutoff',
    reasons: ['unknown', 'shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from snapshot', 'daemon'],
  },
  { state: 'crashed', reasons: ['unknown', 'panicked'] },
  { state: 'paused', reasons: ['suspended by the guest'] }, // pmsuspended
];

export function domainStateOf(state: number, reason: number): { readonly state: DomainState; readonly reason: string } {
  const known = STATES[state];
  if (known === undefined) return { state: 'gone', reason: `state ${state}` };
  return { state: known.state, reason: known.reasons[reason] ?? String(reason) };
}

const EVENTS: readonly { readonly event: string; readonly details: readonly string[] }[] = [
  { event: 'defined', details: ['added', 'updated', 'renamed', 'from snapshot'] },
  { event: 'undefined', details: ['removed', 'renamed'] },
  { event: 'started', details: ['booted', 'migrated', 'restored', 'from snapshot', 'wakeup'] },
  {
    event: 'suspended',
    details: [
      'paused',
      'migrated',
      'ioerror',
      'watchdog',
      'restored',
      'from snapshot',
      'api error',
      'post-copy',
      'post-copy failed',
    ],
  },
  {
    event: 'resumed',
    details: ['unpaused', 'migrated', 'from snapshot', 'post-copy', 'post-copy failed'],
  },
  {
    event: 'stopped',
    details: ['shutdown', 'destroyed', 'crashed', 'migrated', 'saved', 'failed', 'from snapshot'],
  },
  { event: 'shutdown', details: ['finished', 'guest', 'host'] },
  { event: 'pmsuspended', details: ['memory', 'disk'] },
  { event: 'crashed', details: ['panicked', 'crashloaded'] },
];

export function lifecycleEventOf(event: number, detail: number): { readonly event: string; readonly detail: string } {
  const known = EVENTS[event];
  if (known === undefined) return { event: `event ${event}`, detail: String(detail) };
  return { event: known.event, detail: known.details[detail] ?? String(detail) };
}
