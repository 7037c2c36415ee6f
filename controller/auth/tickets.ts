import { randomBytes } from 'node:crypto';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { hashSecret } from '../ca/host-identity.js';

export const TICKET_LIFE_MS = 30_000;
/** So long after its end a ticket's refusal still says what was wrong with it. */
const MEMORY_MS = 300_000;
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
  /** Keeps why the last visit with this ticket failed: a browser does not tell its page what a refused WebSocket was told. */
  noteRefusal(ticket: string, error: OstlerError): void;
  /** Why it opens nothing; undefined while it is good. */
  refusal(ticket: string): OstlerError | undefined;
}

interface Issued extends TicketGrant {
  /** Of the monotonic clock. */
  readonly deadline: number;
  used: boolean;
  refusal: OstlerError | undefined;
}

export function createTickets(deps: { readonly clock: Clock }): Tickets {
  const { clock } = deps;
  // By hash: looking one up tells nothing about the others, and a dump of the memory holds no usable ticket.
  const issued = new Map<string, Issued>();
  const sweep = (): void => {
    // Insertion order is age.
    for (const [hash, { deadline }] of issued) {
      if (deadline + MEMORY_MS > clock.monotonic() && issued.size <= TICKETS_MAX) break;
      issued.delete(hash);
    }
  };
  const find = (ticket: string): Issued | undefined => issued.get(hashSecret(ticket));
  const unknown = (): OstlerError => spent('This controller does not know this console ticket.');
  const problem = (found: Issued): OstlerError | undefined => {
    if (found.used) return spent('This console ticket was used already.');
    if (clock.monotonic() >= found.deadline) return spent('This console ticket is older than 30 seconds.');
    return undefined;
  };
  return {
    issue: (grant) => {
      const ticket = randomBytes(32).toString('base64url');
      const deadline = clock.monotonic() + TICKET_LIFE_MS;
      issued.set(hashSecret(ticket), { ...grant, deadline, used: false, refusal: undefined });
      sweep();
      return { ticket, expireTime: clock.now() + TICKET_LIFE_MS };
    },
    redeem: (ticket, vmId) => {
      const found = find(ticket);
      if (found === undefined) throw unknown();
      const wrong = problem(found);
      if (wrong !== undefined) throw wrong;
      found.used = true;
      if (vmId !== undefined && vmId !== found.vmId) throw spent('This console ticket is for another VM.');
      return { vmId: found.vmId, kind: found.kind, actor: found.actor };
    },
    noteRefusal: (ticket, error) => {
      const found = find(ticket);
      if (found !== undefined) found.refusal = error;
    },
    refusal: (ticket) => {
      const found = find(ticket);
      return found === undefined ? unknown() : (found.refusal ?? problem(found));
    },
  };
}

function spent(why: string): OstlerError {
  return new OstlerError('TICKET_SPENT', why, {
    remedy: 'Ask for a new one: `ostler vnc NAME` or `ostler console NAME`.',
  });
}
