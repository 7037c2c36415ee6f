import { createHash } from 'node:crypto';
import type { Hypervisor } from '../hypervisor.js';

/** What libvirt was told to keep of each domain, so that telling it the same again can be left out. */
export interface Definitions {
  /**
   * The domain is defined by exactly this XML. Defining costs libvirt 2–3 ms and two flushes; it is left out when libvirt
   * still shows, letter by letter, what it made of this XML the last time: a change by somebody else is undone all the same.
   */
  ensure(uuid: string, xml: string): Promise<void>;
  /** Whether there is nothing to tell. Only looks. */
  isCurrent(uuid: string, xml: string): Promise<boolean>;
  define(uuid: string, xml: string): Promise<void>;
}

export function createDefinitions(hypervisor: Hypervisor): Definitions {
  // Digests: of a thousand VMs they are small, and no password of a definition stays in memory.
  const known = new Map<string, { readonly told: string; readonly kept: string }>();
  const shown = async (uuid: string): Promise<string | undefined> => {
    try {
      return digest(await hypervisor.domainXml(uuid, { inactive: true, secure: true }));
    } catch {
      // Gone, or libvirt is: then the definition is told again, which says what is wrong.
      return undefined;
    }
  };
  const definitions: Definitions = {
    async ensure(uuid, xml) {
      if (!(await definitions.isCurrent(uuid, xml))) await definitions.define(uuid, xml);
    },
    async isCurrent(uuid, xml) {
      const before = known.get(uuid);
      return before?.told === digest(xml) && (await shown(uuid)) === before.kept;
    },
    async define(uuid, xml) {
      known.delete(uuid);
      await hypervisor.defineDomain(xml);
      const kept = await shown(uuid);
      if (kept !== undefined) known.set(uuid, { told: digest(xml), kept });
    },
  };
  return definitions;
}

function digest(text: string): string {
  return createHash('sha256').update(text).digest('base64');
}
