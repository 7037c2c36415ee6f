import type { DomainReport } from '../../proto/model/host.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor } from '../hypervisor.js';

/**
 * The guest's addresses, those of its first NIC first. The guest agent knows them all; without it libvirt's own leases and the
 * host's neighbour table know some.
 */
export async function findAddresses(report: DomainReport, hypervisor: Hypervisor): Promise<readonly string[]> {
  const sources = report.guestAgentConnected ? (['agent'] as const) : (['lease', 'arp'] as const);
  for (const source of sources) {
    const found = await ask(report.uuid, source, hypervisor);
    if (found.length > 0) return found;
  }
  return [];
}

async function ask(uuid: string, source: 'agent' | 'lease' | 'arp', hypervisor: Hypervisor): Promise<string[]> {
  try {
    const interfaces = await hypervisor.interfaceAddresses(uuid, source);
    return interfaces.flatMap(({ addresses }) => addresses).filter(isUseful);
  } catch (error) {
    // An agent that does not answer, a NIC without a libvirt network: no address is no failure.
    if (error instanceof OstlerError && error.code !== 'HYPERVISOR_UNAVAILABLE') return [];
    throw error;
  }
}

/** Loopback and link-local addresses reach nobody. */
function isUseful(address: string): boolean {
  return (
    address !== '::1' && !address.startsWith('127.') && !/^fe[89ab]/i.test(address) && !address.startsWith('169.254.')
  );
}
