import {
  CHANGE_TIMES,
  CONSOLE_KINDS,
  domainReportToWire,
  enumFromWire,
  enumToWire,
  snapshotListToWire,
  vmRecordFromWire,
  vmRecordToWire,
  volumesToWire,
} from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { invalidField, OstlerError, toOstlerError } from '../../proto/kit/errors.js';
import type { Log } from '../../proto/kit/log.js';
import { uuidSchema } from '../../proto/model/names.js';
import { toErrorDetail } from '../../proto/status.js';
import { recordChangeFromWire, type RecordChange } from '../command.js';
import { describeStep, type DomainPlan } from '../core/domain-steps.js';
import type { Consoles } from '../drivers/console.js';
import { listSnapshots } from '../drivers/snapshots/list.js';
import type { ChainDeps } from '../drivers/snapshots/scene.js';
import { listVolumes } from '../drivers/volumes-list.js';
import type { Observer } from '../drivers/observe.js';
import { asPng } from '../drivers/screenshot.js';
import type { Hypervisor } from '../hypervisor.js';
import { parseRecord, readMetadataXml, METADATA_NAMESPACE } from '../xml/metadata.js';
import { carryTunnel, type TunnelCall } from './tunnel.js';

type WireQuery = ostler.v1.Query.$Properties;
type WireResult = ostler.v1.QueryResult.$Properties;

export interface QueryDeps {
  readonly hypervisor: Hypervisor;
  readonly observer: Observer;
  readonly consoles: Consoles;
  readonly log: Log;
  /** What ApplyRecord would do now. */
  readonly planChange: (change: RecordChange) => Promise<{ readonly plan: DomainPlan }>;
  readonly chains: ChainDeps;
  /** A new stream of the present link. */
  readonly openTunnelCall: () => TunnelCall;
}

/** Answers at once, changes nothing, is written down nowhere. Never throws: an error is an answer. */
export async function answerQuery(query: WireQuery, deps: QueryDeps): Promise<WireResult> {
  const id = query.id ?? '';
  try {
    return { query: id, ...(await answer(query, deps)) };
  } catch (error) {
    return { query: id, error: toErrorDetail(toOstlerError(error).toInfo()) };
  }
}

async function answer(query: WireQuery, deps: QueryDeps): Promise<Omit<WireResult, 'query'>> {
  if (query.inspect) return inspect(uuidOf(query.inspect.vmUuid), deps.hypervisor);
  if (query.listRecords) return listRecords(deps);
  if (query.planRecord) return planRecord(query.planRecord, deps);
  if (query.listSnapshots) {
    const record = vmRecordFromWire(query.listSnapshots.record, 'query.list_snapshots.record');
    return { snapshots: snapshotListToWire(await listSnapshots(record, deps.chains)) };
  }
  if (query.listVolumes) return { volumes: volumesToWire(await listVolumes(deps.chains)) };
  if (query.openTunnel) return openTunnel(query.openTunnel, deps);
  if (query.captureScreen) return captureScreen(uuidOf(query.captureScreen.vmUuid), deps.hypervisor);
  throw new OstlerError('UNSUPPORTED', 'The controller asked something that this agent does not know.', {
    remedy: 'Update ostler-agent on this host to the version of the controller.',
  });
}

function uuidOf(text: string | null | undefined): string {
  const parsed = uuidSchema.safeParse(text ?? '');
  if (!parsed.success) throw invalidField('query.vm_uuid', 'is not a UUID in lower case');
  return parsed.data;
}

async function inspect(uuid: string, hypervisor: Hypervisor): Promise<Omit<WireResult, 'query'>> {
  const info = await hypervisor.domainInfo(uuid);
  return {
    live: {
      domainState: info.state,
      domainReason: info.reason,
      cpuTimeNs: Number(info.cpuTimeNs),
      memoryBytes: info.memoryBytes,
      vcpus: info.vcpus,
    },
  };
}

async function captureScreen(uuid: string, hypervisor: Hypervisor): Promise<Omit<WireResult, 'query'>> {
  return { screenshot: { mimeType: 'image/png', data: asPng(await hypervisor.screenshot(uuid)) } };
}

/** For a rebuild of the controller: what the domains themselves say they are. */
async function listRecords({ hypervisor, observer }: QueryDeps): Promise<Omit<WireResult, 'query'>> {
  const records: ostler.v1.VmRecord.$Properties[] = [];
  const unreadable: Record<string, string> = {};
  const domains: ostler.v1.DomainReport.$Properties[] = [];
  for (const { uuid, name } of await hypervisor.listDomains()) {
    domains.push(domainReportToWire(await observer.report(uuid)));
    const xml = await hypervisor.metadata(uuid, METADATA_NAMESPACE);
    if (xml === undefined) continue;
    const parsed = parseSafely(xml);
    if (!parsed.ok) unreadable[name] = parsed.reason;
    else if (parsed.record.uuid !== uuid) unreadable[name] = `the record is of the UUID ${parsed.record.uuid}`;
    else records.push(vmRecordToWire(parsed.record));
  }
  return { records: { records, unreadable, domains } };
}

function parseSafely(xml: string): ReturnType<typeof parseRecord> {
  try {
    return parseRecord(readMetadataXml(xml));
  } catch (error) {
    return { ok: false, reason: (error as Error).message };
  }
}

async function planRecord(
  wire: ostler.v1.ApplyRecord.$Properties,
  deps: QueryDeps,
): Promise<Omit<WireResult, 'query'>> {
  const { plan } = await deps.planChange(recordChangeFromWire(wire, 'query.plan_record'));
  if (!plan.ok) return { recordPlan: { refusals: plan.refusals.map((one) => toErrorDetail(one)) } };
  const changes = plan.steps.map((step) => ({
    field: step.field,
    time: enumToWire(CHANGE_TIMES, step.when),
    sentence: describeStep(step),
  }));
  return { recordPlan: { changes } };
}

/** Opened first, answered then: a console that cannot be opened is the answer's error, not a tunnel that dies. */
async function openTunnel(wire: ostler.v1.OpenTunnel.$Properties, deps: QueryDeps): Promise<Omit<WireResult, 'query'>> {
  const tunnel = wire.tunnel ?? '';
  if (!/^[\x21-\x7e]{1,200}$/.test(tunnel)) throw invalidField('query.open_tunnel.tunnel', 'is not a tunnel id');
  const uuid = uuidOf(wire.vmUuid);
  const kind = enumFromWire(CONSOLE_KINDS, wire.kind, 'query.open_tunnel.kind') ?? 'serial';
  const view = await (kind === 'vnc' ? deps.consoles.openVnc(uuid) : deps.consoles.openSerial(uuid));
  const serial = kind === 'serial';
  carryTunnel({ tunnel, view, markReplay: serial }, deps.openTunnelCall(), deps.log);
  return { tunnelOpened: {} };
}
