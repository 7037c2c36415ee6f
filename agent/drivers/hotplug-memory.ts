import { sizeOf } from '../core/domain-steps.js';
import { buildMemoryXml, resizeMemoryXml } from '../xml/build-memory.js';
import type { MemoryFacts } from '../core/domain-facts.js';
import type { MemoryWay } from '../core/domain-steps.js';
import type { DriverDeps } from './deps.js';
import { factsNow, patiently, type StepRun, type StepRunner } from './hotplug.js';
import { asOstlerError } from './xml-errors.js';

const TAKEN_MS = 15_000;
const BLOCK_BYTES = 2 * 1024 * 1024;

/**
 * C-060, C-109: memory beyond what the VM was started with. One virtio-mem device holds all that may ever be added and
 * gives the guest what it is to have; its own figure tells what the guest has taken. Other systems get DIMMs.
 */
export const growMemory: StepRunner<'memory'> = async (step, run) => {
  const { deps, change, undo } = run;
  const { uuid } = change.record;
  const { how } = step;
  const before = await deps.hypervisor.guestMemoryBytes(uuid);
  if (how.by === 'resize') {
    const { alias, requestedBytes: before } = how.device;
    undo.push('memory', () => resize(uuid, alias, before, deps));
    await resize(uuid, alias, how.requestedBytes, deps);
  } else {
    await deps.hypervisor.attachDevice(uuid, buildMemoryXml(deviceOf(how)));
  }
  deps.fault('hotplug.memory-plugged');
  if (how.by === 'attach' && how.model === 'dimm') await reportOffline(how.sizeBytes, before, uuid, run);
  else await reportUntaken(how.requestedBytes, uuid, run);
};

function deviceOf(how: Extract<MemoryWay, { by: 'attach' }>): Parameters<typeof buildMemoryXml>[0] {
  if (how.model === 'dimm') return { model: 'dimm', sizeBytes: how.sizeBytes };
  const { sizeBytes, requestedBytes } = how;
  return { model: 'virtio-mem', sizeBytes, requestedBytes, blockBytes: BLOCK_BYTES };
}

async function resize(uuid: string, alias: string, bytes: number, { hypervisor }: DriverDeps): Promise<void> {
  const xml = await hypervisor.domainXml(uuid);
  await hypervisor.updateDevice(
    uuid,
    asOstlerError(() => resizeMemoryXml(xml, alias, bytes)),
  );
}

/** A DIMM is all there at once; whether the guest has brought it online its balloon driver tells, every few seconds. */
async function reportOffline(bytes: number, before: number | undefined, uuid: string, run: StepRun): Promise<void> {
  const { deps, warnings } = run;
  let now: number | undefined;
  const online = async (): Promise<boolean> => {
    now = await deps.hypervisor.guestMemoryBytes(uuid);
    // The guest keeps a part of it for its own bookkeeping.
    return before === undefined || now === undefined || now - before >= bytes * 0.9;
  };
  if (await patiently(online, TAKEN_MS, run)) {
    if (before !== undefined && now !== undefined) return;
    warnings.push(
      'The memory is plugged in; whether the guest uses it is not known, as its balloon driver does not tell.',
    );
    return;
  }
  warnings.push('The memory is plugged in, but the guest has not brought it online.');
}

/** A virtio-mem device says itself how much of it the guest has taken. */
async function reportUntaken(requestedBytes: number, uuid: string, run: StepRun): Promise<void> {
  let device: MemoryFacts | undefined;
  const taken = await patiently(
    async () => {
      device = (await factsNow(uuid, run.deps)).memory.find((one) => one.model === 'virtio-mem');
      return device !== undefined && device.currentBytes >= requestedBytes;
    },
    TAKEN_MS,
    run,
  );
  if (taken) return;
  const has = sizeOf(device?.currentBytes ?? 0);
  run.warnings.push(
    `The memory is plugged in, but the guest has taken ${has} of ${sizeOf(requestedBytes)}: ` +
      'it may have no virtio-mem driver, or is not up yet.',
  );
}
