import { buildNicXml } from '../xml/build-domain.js';
import { factsNow, releaseDevice, type StepRunner } from './hotplug.js';
import { asOstlerError } from './xml-errors.js';

/** C-112: it works on its network at once. */
export const attachNic: StepRunner<'nic-attach'> = async ({ nic, field }, run) => {
  const { deps, change, undo } = run;
  const { uuid } = change.record;
  const xml = asOstlerError(() => buildNicXml(nic, { defaultBridge: deps.defaultBridge }));
  await deps.hypervisor.attachDevice(uuid, xml);
  deps.fault('hotplug.nic-plugged');
  undo.push(`NIC ${nic.name}`, async () => {
    const present = (await factsNow(uuid, deps)).nics.find((one) => one.mac === nic.mac);
    if (present === undefined) return;
    const context = { ...run.context, signal: new AbortController().signal };
    await releaseDevice({ what: `NIC ${nic.name}`, alias: present.alias, field }, { change, deps, context });
  });
};

/** C-113 */
export const detachNic: StepRunner<'nic-detach'> = async ({ nic, alias, field }, run) => {
  await releaseDevice({ what: `NIC ${nic.name}`, alias, field }, run);
  const { deps, change } = run;
  run.undo.push(`NIC ${nic.name}`, () =>
    deps.hypervisor.attachDevice(
      change.record.uuid,
      asOstlerError(() => buildNicXml(nic, { defaultBridge: deps.defaultBridge })),
    ),
  );
};
