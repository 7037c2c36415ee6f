import { OstlerError } from '../../proto/kit/errors.js';
import type { Command, CommandContext, Facts } from '../command.js';
import type { DriverDeps } from './deps.js';
import { isActive, stateOf, unless } from './domain-state.js';

/** The guest stands still; its memory and its QEMU stay. A paused one is success. */
export async function pause({ vmUuid, vmId }: Command<'pause'>, deps: DriverDeps): Promise<Facts> {
  const now = await stateOf(deps.hypervisor, vmUuid);
  if (now.state === 'paused') return { already: 'true' };
  if (now.state !== 'running') throw wrongState(vmId, now, 'Only a VM that runs can be paused.');
  await deps.hypervisor.suspendDomain(vmUuid);
  deps.fault('pause.paused');
  return {};
}

/** A paused guest goes on, one with saved memory starts from it. A running one is success. */
export async function resume({ vmUuid, vmId }: Command<'resume'>, deps: DriverDeps): Promise<Facts> {
  const { hypervisor, fault } = deps;
  const now = await stateOf(hypervisor, vmUuid);
  if (now.state === 'running') return { already: 'true' };
  if (now.state === 'shutoff') {
    if (!(await hypervisor.hasManagedSave(vmUuid)))
      throw wrongState(vmId, now, 'Its saved memory is gone: start it instead.');
    deps.intents.set(vmUuid, 'none');
    fault('resume.restoring');
    await hypervisor.createDomain(vmUuid);
    fault('resume.restored');
  }
  // A guest that was paused when it was suspended comes back paused.
  const { state } = await stateOf(hypervisor, vmUuid);
  if (state === 'paused') await hypervisor.resumeDomain(vmUuid);
  else if (state !== 'running') throw wrongState(vmId, now, 'Start it instead.');
  fault('resume.resumed');
  return {};
}

/**
 * Memory to disk, then off. When it is cancelled or fails the guest runs on: libvirt keeps it until the file is whole.
 * One that is off and has saved memory is success.
 */
export async function suspend(command: Command<'suspend'>, context: CommandContext, deps: DriverDeps): Promise<Facts> {
  const { vmUuid, vmId } = command;
  const { hypervisor, fault } = deps;
  const now = await stateOf(hypervisor, vmUuid);
  if (!isActive(now.state)) {
    if (now.state === 'shutoff' && (await hypervisor.hasManagedSave(vmUuid))) return { already: 'true' };
    throw wrongState(vmId, now, 'There is no memory to save.');
  }
  context.progress(0, 'writing the memory to disk');
  fault('suspend.saving');
  const abort = (): void => {
    // Too late is no harm: then the save is whole, and the command says so.
    void unless(['WRONG_STATE', 'NOT_FOUND', 'HYPERVISOR_ERROR'], () => hypervisor.abortJob(vmUuid));
  };
  context.signal.addEventListener('abort', abort, { once: true });
  try {
    context.signal.throwIfAborted();
    await hypervisor.managedSave(vmUuid);
  } finally {
    context.signal.removeEventListener('abort', abort);
  }
  fault('suspend.saved');
  return {};
}

export async function sendNmi({ vmUuid, vmId }: Command<'send-nmi'>, deps: DriverDeps): Promise<Facts> {
  const now = await stateOf(deps.hypervisor, vmUuid);
  if (now.state !== 'running') throw wrongState(vmId, now, 'Only a VM that runs takes interrupts.');
  await deps.hypervisor.injectNmi(vmUuid);
  deps.fault('send-nmi.sent');
  return {};
}

function wrongState(vmId: string, now: { state: string; reason: string }, remedy: string): OstlerError {
  return new OstlerError('WRONG_STATE', `${vmId} is ${now.state} (${now.reason}).`, {
    remedy,
    metadata: { state: now.state },
  });
}
