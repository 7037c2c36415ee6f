import t from 'tap';
import { createDefinitions } from '../../agent/drivers/definitions.js';
import type { Hypervisor } from '../../agent/hypervisor.js';

/** Keeps definitions as libvirt does: in its own words. */
function hypervisorWith(defined: Map<string, string>, told: string[]): Hypervisor {
  const parts: Partial<Hypervisor> = {
    defineDomain: (xml) => {
      told.push(xml);
      defined.set('u', `<!-- kept -->${xml}`);
      return Promise.resolve({ uuid: 'u', name: 'n' });
    },
    domainXml: (uuid) => {
      const xml = defined.get(uuid);
      return xml === undefined ? Promise.reject(new Error('not there')) : Promise.resolve(xml);
    },
  };
  return parts as Hypervisor;
}

void t.test(
  'the same definition is told once; another one, a change by somebody else, or none at all is told',
  async (t) => {
    const defined = new Map<string, string>();
    const told: string[] = [];
    const definitions = createDefinitions(hypervisorWith(defined, told));
    await definitions.ensure('u', '<a/>');
    await definitions.ensure('u', '<a/>');
    t.same(told, ['<a/>']);
    await definitions.ensure('u', '<b/>');
    await definitions.ensure('u', '<a/>');
    t.same(told, ['<a/>', '<b/>', '<a/>']);
    // M-017: virsh edit does not survive a start.
    defined.set('u', '<c/>');
    await definitions.ensure('u', '<a/>');
    t.equal(defined.get('u'), '<!-- kept --><a/>');
    defined.delete('u');
    await definitions.ensure('u', '<a/>');
    t.equal(told.length, 5);
    await createDefinitions(hypervisorWith(defined, told)).ensure('u', '<a/>');
    t.equal(told.length, 6, 'a new process knows nothing');
  },
);
