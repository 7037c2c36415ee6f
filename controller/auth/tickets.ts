import { randomBytes } from 'node:crypto';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { hashSecret } from '../ca/host-identity.js';

export const TICKET_LIFE_MS = 30_000;
const TICKETS_MAX = 10_000;

export interface TicketGrant {
  readonly vmId: string;
  readonly kind: 'serial' | 'vnc';
  /** Name of the token that asked for it. */
  readonly actor: string;
}

/** Console tickets: one use, 30 seconds, one VM. They live in memory only: a restart ends them. */
export interface Tickets {
  issue(grant: TicketGrant): { readonly ticket: string; readonly expireTime: number };
  /**
   * Spends the ticket. TICKET_SPENT when it was used, is too old, was never issued, or is not for `vmId` (undefined: whatever
   * VM it is for). A ticket shown for the wrong VM is spent too.
   */
  redeem(ticket: string, vmId: string | undefined): TicketGrant;
}

export function createTickets(deps: { readonly clock: Clock }): Tickets {
  const { clock } = deps;
  // By hash: looking one up tells nothing about the others, and a dump of the memory holds no usable ticket.
  const open = new Map<string, TicketGrant & { readonly deadline: number }>();
  const sweep = (): void => {
    for (const [hash, { deadline }] of open) {
      if (deadline > clock.monotonic() && open.size <= TICKETS_MAX) break;
      open.delete(hash);
    }
  };
  return {
    issue: (grant) => {
      const ticket = randomBytes(32).toString('base64url');
      open.set(hashSecret(ticket), { ...grant, deadline: clock.monotonic() + TICKET_LIFE_MS });
      sweep();
      return { ticket, expireTime: clock.now() + TICKET_LIFE_MS };
    },
    redeem: (ticket, vmId) => {
      const hash = hashSecret(ticket);
      const found = open.get(hash);
      open.delete(hash);
      const refuse = (why: string): OstlerError =>
        new OstlerError('TICKET_SPENT', why, {
          remedy: 'Ask for a new one: `ostler vnc NAME` or `ostler console NAME`.',
        });
      if (found === undefined) throw refuse('This console ticket was used already, or never existed.');
      if (clock.monotonic() >= found.deadline) throw refuse('This console ticket is older than 30 seconds.');
      if (vmId !== undefined && vmId !== found.vmId) throw refuse('This console ticket is for another VM.');
      return { vmId: found.vmId, kind: found.kind, actor: found.actor };
    },
  };
}
