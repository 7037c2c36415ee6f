import type { Duplex } from 'node:stream';
import { OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import {
  domainReportFromWire,
  enumToWire,
  CONSOLE_KINDS,
  snapshotListFromWire,
  vmRecordFromWire,
  vmRecordToWire,
  volumesFromWire,
} from '../../proto/convert.js';
import type { VmRecord } from '../../proto/model/vm.js';
import { fromErrorDetail } from '../../proto/status.js';
import { recordChangeToWire } from '../engine/commands.js';
import type { Agents } from '../engine/env.js';
import type { LinkPort } from './link-port.js';
import type { Queries } from './queries.js';
import type { Tunnels } from './tunnels.js';

const QUERY_MS = 10_000;
/** Every file of the chain is looked at. */
const SNAPSHOTS_MS = 30_000;
/** Every file that is no VM's is looked into. */
const VOLUMES_MS = 30_000;
const TUNNEL_MS = 10_000;

/** The parts of `Agents` that ask an agent something and wait for the answer. */
export function createAsk(deps: {
  readonly linked: (hostId: string) => LinkPort;
  readonly nameOf: (hostId: string) => string;
  readonly queries: Queries;
  readonly tunnels: Tunnels;
}): Pick<
  Agents,
  'inspect' | 'planRecord' | 'listRecords' | 'listSnapshots' | 'listVolumes' | 'openTunnel' | 'screenshot'
> {
  const { linked, nameOf, queries, tunnels } = deps;
  return {
    inspect: async (hostId, vmUuid, signal) => {
      const options = { timeoutMs: QUERY_MS, signal };
      const result = await queries.ask(nameOf(hostId), linked(hostId), { inspect: { vmUuid } }, options);
      const live = result.live ?? {};
      return {
        domainState: live.domainState ?? '',
        domainReason: live.domainReason ?? '',
        cpuTimeNs: live.cpuTimeNs ?? 0,
        memoryBytes: live.memoryBytes ?? 0,
        vcpus: live.vcpus ?? 0,
      };
    },

    planRecord: async (hostId, change, signal) => {
      const body = { planRecord: recordChangeToWire(change) };
      const options = { timeoutMs: QUERY_MS, signal };
      const { recordPlan } = await queries.ask(nameOf(hostId), linked(hostId), body, options);
      return { changes: recordPlan?.changes ?? [], refusals: (recordPlan?.refusals ?? []).map(fromErrorDetail) };
    },

    listRecords: async (hostId, signal) => {
      const options = { timeoutMs: QUERY_MS, signal };
      const result = await queries.ask(nameOf(hostId), linked(hostId), { listRecords: {} }, options);
      const list = result.records ?? {};
      const unreadable: Record<string, string> = { ...list.unreadable };
      const records: VmRecord[] = [];
      for (const [index, wire] of (list.records ?? []).entries()) {
        // One record that this version cannot read must not hide the others.
        try {
          records.push(vmRecordFromWire(wire, `records[${index}]`));
        } catch (error) {
          unreadable[wire.id ?? `record ${index}`] = toOstlerError(error).message;
        }
      }
      return { records, unreadable, domains: (list.domains ?? []).map(domainReportFromWire) };
    },

    listSnapshots: async (hostId, record, signal) => {
      const options = { timeoutMs: SNAPSHOTS_MS, signal };
      const question = { listSnapshots: { record: vmRecordToWire(record) } };
      const result = await queries.ask(nameOf(hostId), linked(hostId), question, options);
      return snapshotListFromWire(result.snapshots ?? {});
    },

    listVolumes: async (hostId, signal) => {
      const options = { timeoutMs: VOLUMES_MS, signal };
      const result = await queries.ask(nameOf(hostId), linked(hostId), { listVolumes: {} }, options);
      return volumesFromWire(result.volumes ?? {});
    },

    screenshot: async (hostId, vmUuid, signal) => {
      const options = { timeoutMs: QUERY_MS, signal };
      const result = await queries.ask(nameOf(hostId), linked(hostId), { captureScreen: { vmUuid } }, options);
      return result.screenshot?.data ?? new Uint8Array();
    },

    openTunnel: async (hostId, vmUuid, kind, signal): Promise<Duplex> => {
      const port = linked(hostId);
      const tunnel = tunnels.expect(hostId, nameOf(hostId), { timeoutMs: TUNNEL_MS, signal });
      const body = { openTunnel: { tunnel: tunnel.id, vmUuid, kind: enumToWire(CONSOLE_KINDS, kind) } };
      // The agent may refuse (no such console) before, or instead of, calling back.
      queries
        .ask(nameOf(hostId), port, body, { timeoutMs: TUNNEL_MS, signal })
        .catch((error: unknown) => tunnel.refuse(error instanceof OstlerError ? error : toOstlerError(error)));
      return tunnel.ready;
    },
  };
}
