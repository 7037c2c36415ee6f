import type { DomainReport } from '../../proto/model/host.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor } from '../hypervisor.js';
import { readDomain, type DomainData } from '../xml/read-domain.js';
import { isActive, stateOf } from './domain-state.js';

export type DomainReader = (xml: string) => DomainData;

/**
 * Reads an XML once: a start alone has three reasons to look at the same one, and it takes a millisecond or two. Keeps as
 * many as there are domains on a large host.
 */
export function createDomainReader(): DomainReader {
  const known = new Map<string, DomainData>();
  return (xml) => {
    const data = known.get(xml) ?? readDomain(xml);
    // The one used last is the newest: the oldest makes room.
    known.delete(xml);
    known.set(xml, data);
    const [oldest] = known.keys();
    if (known.size > READ_DOMAINS && oldest !== undefined) known.delete(oldest);
    return data;
  };
}

const READ_DOMAINS = 500;

/** What a domain is now, asked of libvirt; `gone` when it is not defined any more. Two calls side by side. */
export async function describeDomain(
  uuid: string,
  hypervisor: Hypervisor,
  read: DomainReader = readDomain,
): Promise<DomainReport> {
  const [{ state, reason: said }, data] = await Promise.all([
    stateOf(hypervisor, uuid),
    readOrUndefined(uuid, hypervisor, read),
  ]);
  const reason = state === 'shutoff' && data !== undefined ? await shutoffReason(uuid, said, hypervisor) : said;
  const active = isActive(state);
  return {
    uuid,
    name: data?.name ?? '',
    state: data === undefined ? 'gone' : state,
    reason,
    managed: data?.metadata !== undefined,
    vmId: data?.metadata?.id ?? '',
    epoch: Math.max(0, data?.metadata?.epoch ?? 0),
    guestAgentConnected: active && data?.guestAgent === 'connected',
    addresses: [],
    consoleAvailable: active && (data?.serialPath !== undefined || data?.vncSocketPath !== undefined),
  };
}

/**
 * `saved` exactly when there is saved memory to go on from: libvirt forgets its reason when it restarts, and says `saved`
 * also of a domain whose memory went into a file of somebody's own (virsh save).
 */
async function shutoffReason(uuid: string, said: string, hypervisor: Hypervisor): Promise<string> {
  try {
    if (await hypervisor.hasManagedSave(uuid)) return 'saved';
  } catch (error) {
    if (!(error instanceof OstlerError) || error.code !== 'NOT_FOUND') throw error;
  }
  return said === 'saved' ? 'unknown' : said;
}

async function readOrUndefined(
  uuid: string,
  hypervisor: Hypervisor,
  read: DomainReader,
): Promise<DomainData | undefined> {
  try {
    return read(await hypervisor.domainXml(uuid));
  } catch (error) {
    if (error instanceof OstlerError && error.code !== 'NOT_FOUND') throw error;
    // Gone; or a domain of somebody else in an XML that we do not understand: not ours to report.
    return undefined;
  }
}

export function sameReport(a: DomainReport, b: DomainReport): boolean {
  return (
    a.name === b.name &&
    a.state === b.state &&
    a.reason === b.reason &&
    a.managed === b.managed &&
    a.vmId === b.vmId &&
    a.epoch === b.epoch &&
    a.guestAgentConnected === b.guestAgentConnected &&
    a.consoleAvailable === b.consoleAvailable &&
    a.exitCause === b.exitCause &&
    a.addresses.length === b.addresses.length &&
    a.addresses.every((address, index) => address === b.addresses[index])
  );
}
