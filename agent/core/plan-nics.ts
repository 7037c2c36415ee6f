/** NICs: secondary ones come and go while the VM runs; the first one is its default network (C-101, C-108, C-112, C-113). */
import type { Nic } from '../../proto/model/vm.js';
import type { PartPlan, PlanInput } from './domain-plan.js';
import type { Step } from './domain-steps.js';
import { refuse, STOP_FIRST, type Refusal } from './refusal.js';

const NICS = 'spec.nics';

export function planNics({ previous, wanted, live }: PlanInput): PartPlan {
  const before = previous.spec.nics;
  const after = wanted.spec.nics;
  const steps: Step[] = [];
  const refusals: Refusal[] = [...firstNicRefusals(before, after)];
  after.forEach((nic, index) => {
    const old = before.find((one) => one.name === nic.name);
    if (live === undefined) {
      if (old === undefined) steps.push(later(`it has the NIC ${nic.name}`));
      else if (changedKey(old, nic) !== undefined) steps.push(later(`the NIC ${nic.name} is as given`));
      return;
    }
    const changed = old === undefined ? undefined : changedKey(old, nic);
    if (changed !== undefined) refusals.push(changeRefusal(nic, `${NICS}[${index}].${changed}`, index === 0));
    else if (!live.nics.some((one) => one.mac === nic.mac))
      steps.push({ kind: 'nic-attach', when: 'now', field: NICS, nic });
  });
  for (const nic of before) {
    if (after.some((one) => one.name === nic.name) || nic === before[0]) continue;
    const present = live?.nics.find((one) => one.mac === nic.mac);
    if (present !== undefined) steps.push({ kind: 'nic-detach', when: 'now', field: NICS, nic, alias: present.alias });
    else steps.push(later(`it has no NIC ${nic.name}`));
  }
  return { steps, refusals };
}

/**
 * V-17: a tag on a port of a Linux bridge needs a bridge that filters VLANs, and somebody who sets the port's VLAN: libvirt
 * does that from 11.0 on; before, it refuses the whole domain at its start. So it is refused beforehand.
 */
export function vlanRefusals(nics: readonly Nic[]): Refusal[] {
  return nics.flatMap(({ name, vlan }, index) => {
    if (vlan === undefined) return [];
    const message = `The NIC ${name} asks for VLAN ${vlan}: frames are not tagged on the ports of Linux bridges.`;
    const remedy = `Make a bridge on the host that is in VLAN ${vlan} (over a VLAN interface such as eth0.${vlan}), and name that bridge instead.`;
    return [refuse('UNSUPPORTED', `${NICS}[${index}].vlan`, message, remedy)];
  });
}

function later(what: string): Step {
  return { kind: 'write-down', when: 'next-start', field: NICS, what };
}

function firstNicRefusals(before: readonly Nic[], after: readonly Nic[]): Refusal[] {
  const first = before[0]?.name;
  if (first === undefined || after[0]?.name === first) return [];
  const there = after.some((nic) => nic.name === first);
  const message = there
    ? `The first NIC ${first} stays the first: it is the VM's default network.`
    : `The first NIC ${first} cannot be removed; only secondary ones can.`;
  return [refuse('WRONG_STATE', `${NICS}[0]`, message, 'Add or remove a secondary NIC.')];
}

/** In the API's spelling. */
function changedKey(old: Nic, nic: Nic): string | undefined {
  const keys = ['bridge', 'mac', 'model', 'mtu', 'vlan'] as const;
  return keys.find((key) => old[key] !== nic[key]);
}

function changeRefusal(nic: Nic, field: string, first: boolean): Refusal {
  const what = first ? `The first NIC ${nic.name}` : `The NIC ${nic.name}`;
  const remedy = first ? STOP_FIRST : 'Remove it and add another one, or stop the VM first.';
  return refuse('WRONG_STATE', field, `${what} cannot be changed while the VM runs.`, remedy);
}
