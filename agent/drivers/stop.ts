import { OstlerError } from '../../proto/kit/errors.js';
import type { Command, CommandContext, Facts } from '../command.js';
import { parseRecord, readMetadataXml, METADATA_NAMESPACE } from '../xml/metadata.js';
import type { DriverDeps } from './deps.js';
import { isActive, stateOf, unless } from './domain-state.js';
import { watchDomain, type DomainWatch } from './domain-watch.js';
import { powerOff } from './start.js';

/** A guest that is still booting throws the first press of the button away: it is pressed again, and the agent asked. */
const ASK_AGAIN_MS = 15_000;
const DEFAULT_REBOOT_MS = 90_000;

/**
 * C-125, M-016: asks the guest by ACPI, later by its agent, too; when it does not stop in time it is powered off or left
 * alone, as ordered. Fact `forced=true` when the plug was pulled.
 */
export async function shutdown(
  command: Command<'shutdown'>,
  context: CommandContext,
  deps: DriverDeps,
): Promise<Facts> {
  const { vmUuid, body } = command;
  const { state } = await stateOf(deps.hypervisor, vmUuid);
  if (!isActive(state)) {
    // The saved memory of a suspended VM is what there is to stop; losing it needs force.
    if (!body.force || state === 'gone' || !(await deps.hypervisor.hasManagedSave(vmUuid))) return { already: 'true' };
    await deps.hypervisor.removeManagedSave(vmUuid);
    return { dropped: 'true' };
  }
  if (body.force || state === 'crashed') return force(vmUuid, deps);
  deps.intents.set(vmUuid, 'shutdown');
  const watch = await watchDomain(vmUuid, deps, context.signal);
  try {
    deps.fault('shutdown.asking');
    if (await askUntilOff(vmUuid, body.timeoutMs, watch, context, deps)) return { forced: 'false' };
  } finally {
    watch.close();
  }
  const seconds = Math.round(body.timeoutMs / 1000);
  if (body.onTimeout === 'force-off') {
    deps.log.warn({ vm: command.vmId, seconds }, 'the guest did not shut down in time: powered off');
    return force(vmUuid, deps);
  }
  deps.intents.set(vmUuid, 'none');
  throw new OstlerError('GUEST_TIMEOUT', `The guest did not shut down within ${seconds} s; it runs on.`, {
    remedy: 'Look at its console, give it more time, or stop it with force.',
  });
}

async function force(uuid: string, deps: DriverDeps): Promise<Facts> {
  deps.fault('shutdown.forcing');
  await powerOff(uuid, deps);
  deps.fault('shutdown.forced');
  return { forced: 'true' };
}

async function askUntilOff(
  uuid: string,
  timeoutMs: number,
  watch: DomainWatch,
  context: CommandContext,
  deps: DriverDeps,
): Promise<boolean> {
  const off = async (): Promise<boolean> => !isActive((await stateOf(deps.hypervisor, uuid)).state);
  const end = deps.clock.monotonic() + timeoutMs;
  for (let round = 0; ; round++) {
    context.progress(0, round === 0 ? 'asking the guest to shut down' : 'asking the guest again');
    await ask(uuid, round, deps);
    deps.fault('shutdown.asked');
    const rest = end - deps.clock.monotonic();
    if (await watch.until(off, Math.min(rest, ASK_AGAIN_MS))) return true;
    if (rest <= ASK_AGAIN_MS) return false;
  }
}

/** ACPI first, which every system understands; then ACPI and the guest agent in turn. A refusal is no end: time decides. */
async function ask(uuid: string, round: number, deps: DriverDeps): Promise<void> {
  const mode = round % 2 === 0 ? 'acpi' : 'agent';
  try {
    await deps.hypervisor.shutdownDomain(uuid, mode);
  } catch (error) {
    deps.log.debug({ err: error, uuid, mode }, 'the guest could not be asked');
  }
}

/**
 * C-127: the guest restarts by its own means, C-128: in the same domain with the same definition. Done when QEMU says that
 * the machine was reset; GUEST_TIMEOUT when it does not within the VM's shutdown time.
 */
export async function reboot(command: Command<'reboot'>, context: CommandContext, deps: DriverDeps): Promise<Facts> {
  const { vmUuid, vmId, body } = command;
  const { state, reason } = await stateOf(deps.hypervisor, vmUuid);
  if (state !== 'running')
    throw new OstlerError('WRONG_STATE', `${vmId} does not run (${state}, ${reason}).`, {
      remedy: 'Start it instead.',
      metadata: { state },
    });
  if (body.force) {
    deps.fault('reboot.resetting');
    deps.intents.set(vmUuid, 'reboot');
    await deps.hypervisor.resetDomain(vmUuid);
    deps.fault('reboot.reset');
    return { forced: 'true' };
  }
  const timeoutMs = await rebootTimeout(vmUuid, deps);
  const watch = await watchDomain(vmUuid, deps, context.signal);
  deps.intents.set(vmUuid, 'reboot');
  try {
    await askUntilReset(vmUuid, timeoutMs, watch, context, deps);
  } finally {
    watch.close();
  }
  return { forced: 'false' };
}

async function askUntilReset(
  uuid: string,
  timeoutMs: number,
  watch: DomainWatch,
  context: CommandContext,
  deps: DriverDeps,
): Promise<void> {
  const end = deps.clock.monotonic() + timeoutMs;
  const seen = { stopped: false };
  for (let round = 0; ; round++) {
    context.progress(0, round === 0 ? 'asking the guest to restart' : 'asking the guest again');
    const mode = round % 2 === 0 ? 'acpi' : 'agent';
    // As with a shutdown: a guest that cannot be asked in one way may be in the other.
    await unless(['HYPERVISOR_ERROR', 'GUEST_TIMEOUT', 'WRONG_STATE', 'UNSUPPORTED'], () =>
      deps.hypervisor.rebootDomain(uuid, mode),
    );
    deps.fault('reboot.asked');
    const rest = end - deps.clock.monotonic();
    const done = await watch.until(
      async (event) => {
        if (event?.type === 'reboot') return true;
        seen.stopped ||= !isActive((await stateOf(deps.hypervisor, uuid)).state);
        return seen.stopped;
      },
      Math.min(rest, ASK_AGAIN_MS),
    );
    if (seen.stopped) throw new OstlerError('WRONG_STATE', 'The guest powered off instead of restarting.', START_IT);
    if (done) return;
    if (rest <= ASK_AGAIN_MS)
      throw new OstlerError('GUEST_TIMEOUT', `The guest did not restart within ${Math.round(timeoutMs / 1000)} s.`, {
        remedy: 'Look at its console, or reboot it with force.',
      });
  }
}

const START_IT = { remedy: 'Start it.' };

/** The VM's own shutdown time, from the record in the domain's metadata. */
async function rebootTimeout(uuid: string, deps: DriverDeps): Promise<number> {
  const xml = await deps.hypervisor.metadata(uuid, METADATA_NAMESPACE);
  if (xml === undefined) return DEFAULT_REBOOT_MS;
  const parsed = parseRecord(readMetadataXml(xml));
  return parsed.ok ? parsed.record.spec.shutdownTimeoutSeconds * 1000 : DEFAULT_REBOOT_MS;
}
