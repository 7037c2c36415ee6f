import type { ExitCause } from '../../proto/model/host.js';

export type { ExitCause };

/**
 * Why a VM stopped. The shutoff reason alone does not tell: a guest that powers off and a QEMU that got SIGTERM both end as
 * `stopped/shutdown` (measured on libvirt 9.0, QEMU 7.2); the `shutdown/guest` or `shutdown/host` event before it does.
 */
export interface ExitFacts {
  /** Names of libvirt's lifecycle events, oldest first, since the VM last started; `lifecycleEventOf` makes them. */
  readonly events: readonly { readonly event: string; readonly detail: string }[];
  /** What we last asked of it since it started. */
  readonly requested: 'none' | 'shutdown' | 'destroy';
  /** libvirt's shutoff reason, for when the events were missed (agent or daemon was away); empty when not known. */
  readonly shutoffReason: string;
}

export function exitCause(facts: ExitFacts): ExitCause {
  const stopped = facts.events.findLast((one) => one.event === 'stopped');
  const panicked = facts.events.some((one) => one.event === 'crashed');
  const detail = stopped?.detail ?? facts.shutoffReason;
  switch (detail) {
    case 'shutdown':
      return panicked ? 'guest-crash' : poweroffCause(facts);
    case 'destroyed':
      if (panicked) return 'guest-crash';
      return facts.requested === 'destroy' ? 'requested-destroy' : destroyedUnasked(facts);
    case 'crashed':
      // Without events: a libvirt that finds QEMU gone after its own restart says this of any end, a power-off too.
      return panicked ? 'guest-crash' : stopped === undefined ? 'unknown' : 'qemu-crash';
    case 'failed':
      return panicked ? 'guest-crash' : facts.requested === 'destroy' ? 'requested-destroy' : 'qemu-crash';
    case 'migrated':
      return 'migrated';
    case 'saved':
    case 'from snapshot':
      return 'saved';
    case 'daemon':
      return 'unknown';
    default:
      return panicked ? 'guest-crash' : 'unknown';
  }
}

function poweroffCause(facts: ExitFacts): ExitCause {
  const who = facts.events.findLast((one) => one.event === 'shutdown')?.detail;
  if (who === 'host') return facts.requested === 'destroy' ? 'requested-destroy' : 'host-shutdown';
  if (facts.requested !== 'none') return 'requested-shutdown';
  // Without the event nobody can tell the guest's own power-off from a SIGTERM.
  return who === 'guest' || who === 'finished' ? 'guest-shutdown' : 'unknown';
}

/** libvirt with on_poweroff=destroy may report a guest's power-off as `destroyed` when the events raced. */
function destroyedUnasked(facts: ExitFacts): ExitCause {
  const who = facts.events.findLast((one) => one.event === 'shutdown')?.detail;
  return who === 'guest' ? 'guest-shutdown' : 'destroyed';
}

/** One sentence for events and the API. */
export function describeExit(cause: ExitCause): string {
  switch (cause) {
    case 'guest-shutdown':
      return 'The guest shut itself down.';
    case 'requested-shutdown':
      return 'The guest shut down as asked.';
    case 'requested-destroy':
      return 'It was powered off as asked.';
    case 'destroyed':
      return 'It was powered off on the host, not through this system.';
    case 'host-shutdown':
      return 'The host ended it (it was shutting down, or somebody sent QEMU a signal).';
    case 'guest-crash':
      return 'The guest crashed.';
    case 'qemu-crash':
      return 'QEMU ended unexpectedly (killed, out of memory, or a fault).';
    case 'migrated':
      return 'It moved to another host.';
    case 'saved':
      return 'Its memory was saved to disk.';
    case 'unknown':
      return 'It stopped while nobody was watching; libvirt does not tell why.';
  }
}
