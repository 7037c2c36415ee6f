import { OstlerError } from '../../proto/kit/errors.js';
import type { DomainState } from '../../proto/model/host.js';
import type { Hypervisor } from '../hypervisor.js';

/** `gone` instead of NOT_FOUND: whether a domain is there is an answer like any other. */
export async function stateOf(hypervisor: Hypervisor, uuid: string): Promise<{ state: DomainState; reason: string }> {
  try {
    return await hypervisor.domainState(uuid);
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'NOT_FOUND') return { state: 'gone', reason: 'not defined' };
    throw error;
  }
}

/** Whether QEMU exists for it. */
export function isActive(state: DomainState): boolean {
  return state === 'running' || state === 'paused' || state === 'shutdown' || state === 'crashed';
}

/**
 * The memory of a suspended VM belongs to the disks and the hardware that it was saved with.
 * @throws WRONG_STATE when a domain that is off has some
 */
export async function refuseSavedMemory(vm: { id: string; uuid: string }, hypervisor: Hypervisor): Promise<void> {
  if (!(await hypervisor.hasManagedSave(vm.uuid))) return;
  const message = `${vm.id} has saved memory, which fits only to its present disks and hardware.`;
  throw new OstlerError('WRONG_STATE', message, {
    remedy: 'Resume it, or drop the saved memory with `ostler stop --force`.',
  });
}

/** Runs a call that may find its work done already. */
export async function unless(codes: readonly OstlerError['code'][], call: () => Promise<void>): Promise<void> {
  try {
    await call();
  } catch (error) {
    if (!(error instanceof OstlerError) || !codes.includes(error.code)) throw error;
  }
}
