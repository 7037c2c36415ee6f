import { z } from 'zod';
import { readDomain } from '../xml/read-domain.js';
import type { DriverDeps } from './deps.js';
import { patiently, type StepRun, type StepRunner } from './hotplug.js';

/** Between the plug and the guest's own word; under emulation a loaded guest takes seconds. */
const ONLINE_MS = 10_000;
const AGENT_SECONDS = 5;

/**
 * C-060, C-109: vCPUs within the topology that the VM was started with. A guest that leaves them offline is asked by its
 * agent to take them, and when it still does not, the result says which ones. They cannot be taken back: no guest of QEMU
 * gives a vCPU up reliably.
 */
export const plugVcpus: StepRunner<'vcpus'> = async (step, run) => {
  const { deps, change } = run;
  const { uuid } = change.record;
  await deps.hypervisor.setVcpus(uuid, step.to);
  deps.fault('hotplug.vcpus-plugged');
  await reportOffline(step.to, uuid, run);
};

async function reportOffline(wanted: number, uuid: string, run: StepRun): Promise<void> {
  const { deps, warnings } = run;
  let known: readonly GuestCpu[] | undefined;
  const allOnline = async (): Promise<boolean> => {
    known = await guestCpus(uuid, deps);
    return known === undefined || known.filter((cpu) => cpu.online).length >= wanted;
  };
  if (await patiently(allOnline, ONLINE_MS / 2, run)) {
    if (known !== undefined) return;
    warnings.push('The vCPUs are plugged in; whether the guest uses them is not known, as its agent does not answer.');
    return;
  }
  await bringOnline(known ?? [], uuid, deps);
  if (await patiently(allOnline, ONLINE_MS / 2, run)) return;
  const online = (known ?? []).filter((cpu) => cpu.online).length;
  const offline = (known ?? []).filter((cpu) => !cpu.online).map((cpu) => cpu['logical-id']);
  const which =
    offline.length === 0 ? `uses ${online} of ${wanted} vCPUs` : `has not brought CPU ${offline.join(', ')} online`;
  warnings.push(`The vCPUs are plugged in, but the guest ${which}.`);
}

const guestCpuSchema = z.object({
  'logical-id': z.number(),
  online: z.boolean(),
  'can-offline': z.boolean().optional(),
});
type GuestCpu = z.infer<typeof guestCpuSchema>;
const answerSchema = z.object({ return: z.array(guestCpuSchema) });

/** As the guest's agent sees them; undefined without one. */
async function guestCpus(uuid: string, { hypervisor }: DriverDeps): Promise<readonly GuestCpu[] | undefined> {
  if (readDomain(await hypervisor.domainXml(uuid)).guestAgent !== 'connected') return undefined;
  try {
    const text = await hypervisor.guestAgentCommand(uuid, '{"execute":"guest-get-vcpus"}', AGENT_SECONDS);
    return answerSchema.safeParse(JSON.parse(text)).data?.return;
  } catch {
    // An agent that is connected and does not answer is as good as none.
    return undefined;
  }
}

async function bringOnline(cpus: readonly GuestCpu[], uuid: string, { hypervisor, log }: DriverDeps): Promise<void> {
  const vcpus = cpus.filter((cpu) => !cpu.online).map((cpu) => ({ 'logical-id': cpu['logical-id'], online: true }));
  if (vcpus.length === 0) return;
  const command = JSON.stringify({ execute: 'guest-set-vcpus', arguments: { vcpus } });
  try {
    await hypervisor.guestAgentCommand(uuid, command, AGENT_SECONDS);
  } catch (error) {
    log.info({ err: error, vm: uuid }, 'the guest agent does not bring vCPUs online');
  }
}
