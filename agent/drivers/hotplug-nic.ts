import type { Nic } from '../../proto/model/vm.js';
import type { NicFacts } from '../core/domain-facts.js';
import { buildNicXml } from '../xml/build-domain.js';
import { factsNow, releaseDevice, releasedAfterAll, unhurried, type StepRun, type StepRunner } from './hotplug.js';
import { asOstlerError } from './xml-errors.js';

/** C-112: it works on its network at once. */
export const attachNic: StepRunner<'nic-attach'> = async ({ nic, field }, run) => {
  const { deps, change, undo } = run;
  // Pushed first: a call whose answer is lost may have done its work.
  undo.push(`NIC ${nic.name}`, async () => {
    const present = await presentNic(nic, run);
    if (present === undefined) return;
    await releaseDevice({ what: `NIC ${nic.name}`, alias: present.alias, field }, unhurried(run));
  });
  await deps.hypervisor.attachDevice(change.record.uuid, nicXml(nic, run));
  deps.fault('hotplug.nic-plugged');
};

/** C-113 */
export const detachNic: StepRunner<'nic-detach'> = async ({ nic, alias, field }, run) => {
  const { deps, change, undo } = run;
  undo.push(`NIC ${nic.name}`, async () => {
    if (!(await releasedAfterAll(async () => (await presentNic(nic, run)) !== undefined, run))) return;
    await deps.hypervisor.attachDevice(change.record.uuid, nicXml(nic, run));
  });
  await releaseDevice({ what: `NIC ${nic.name}`, alias, field }, run);
};

async function presentNic({ mac }: Nic, { deps, change }: StepRun): Promise<NicFacts | undefined> {
  const { nics } = await factsNow(change.record.uuid, deps);
  return nics.find((one) => one.mac === mac);
}

function nicXml(nic: Nic, { deps: { defaultBridge } }: StepRun): string {
  return asOstlerError(() => buildNicXml(nic, { defaultBridge }));
}
