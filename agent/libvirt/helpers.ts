/**
 * Calls that need care with an argument, over a client or a single connection: lookups that may find nothing, typed
 * parameters in two steps, statistics of the node, the guest agent's JSON. Everything else is `call` with a name.
 */
import type { Caller } from './client.js';
import { ConnectionError, isLibvirtError } from './errors.js';
import type { ErrorName } from './errors.js';
import type { Domain, Network, StoragePool, StorageVol } from './objects.js';
import type { Args } from './procedures.js';
import type { TypedParam } from './typed-params.js';

/** VIR_TYPED_PARAM_STRING_OKAY: we can take strings. libvirt.so adds it to every getter of typed parameters. */
const STRING_OKAY = 4;
const METADATA_ELEMENT = 2;

async function orNull<T>(call: Promise<T>, ...absent: ErrorName[]): Promise<T | null> {
  try {
    return await call;
  } catch (e) {
    if (isLibvirtError(e, ...absent)) return null;
    throw e;
  }
}

/** The domain of that name, or null. */
export async function domainByName(lv: Caller, name: string): Promise<Domain | null> {
  return (await orNull(lv.call('domainLookupByName', { name }), 'NO_DOMAIN'))?.dom ?? null;
}

/** The domain of that UUID, or null. */
export async function domainByUUID(lv: Caller, uuid: string): Promise<Domain | null> {
  return (await orNull(lv.call('domainLookupByUUID', { uuid }), 'NO_DOMAIN'))?.dom ?? null;
}

export async function storagePoolByName(lv: Caller, name: string): Promise<StoragePool | null> {
  return (await orNull(lv.call('storagePoolLookupByName', { name }), 'NO_STORAGE_POOL'))?.pool ?? null;
}

export async function storageVolByName(lv: Caller, pool: StoragePool, name: string): Promise<StorageVol | null> {
  return (await orNull(lv.call('storageVolLookupByName', { pool, name }), 'NO_STORAGE_VOL'))?.vol ?? null;
}

export async function storageVolByPath(lv: Caller, path: string): Promise<StorageVol | null> {
  return (await orNull(lv.call('storageVolLookupByPath', { path }), 'NO_STORAGE_VOL'))?.vol ?? null;
}

export async function networkByName(lv: Caller, name: string): Promise<Network | null> {
  return (await orNull(lv.call('networkLookupByName', { name }), 'NO_NETWORK'))?.net ?? null;
}

/** The XML element a program keeps in a domain's metadata under its namespace, or null. `flags`: AFFECT values. */
export async function domainMetadataElement(lv: Caller, dom: Domain, uri: string, flags = 0): Promise<string | null> {
  const call = lv.call('domainGetMetadata', { dom, type: METADATA_ELEMENT, uri, flags });
  return (await orNull(call, 'NO_DOMAIN_METADATA'))?.metadata ?? null;
}

/** Sets that element, or removes it with null. `key` is the prefix the namespace gets. */
export async function setDomainMetadataElement(
  lv: Caller,
  dom: Domain,
  element: { readonly uri: string; readonly key: string; readonly xml: string | null },
  flags = 0,
): Promise<void> {
  const { uri, key, xml } = element;
  await lv.call('domainSetMetadata', { dom, type: METADATA_ELEMENT, metadata: xml, key, uri, flags });
}

/** Getters of typed parameters whose reply says how many there are when asked for none. */
type CountedGetter =
  | 'domainGetMemoryParameters'
  | 'domainGetBlkioParameters'
  | 'domainGetNumaParameters'
  | 'domainGetBlockIoTune'
  | 'domainGetInterfaceParameters'
  | 'domainBlockStatsFlags'
  | 'nodeGetMemoryParameters'
  | 'nodeGetSEVInfo'
  | 'networkPortGetParameters';

/** Asks how many parameters there are, then for them. `args` without `nparams`. */
export async function typedParameters<N extends CountedGetter>(
  lv: Caller,
  name: N,
  args: Omit<Args<N>, 'nparams'>,
): Promise<readonly TypedParam[]> {
  const flags = ((args as { flags?: number }).flags ?? 0) | STRING_OKAY;
  // The getters differ in their arguments, but not in what is added and what comes back.
  const ask = (nparams: number): Promise<{ params: TypedParam[]; nparams: number }> => {
    const whole: unknown = { ...args, nparams, flags };
    return lv.call(name, whole as Args<N>) as Promise<unknown> as Promise<{ params: TypedParam[]; nparams: number }>;
  };
  const { nparams } = await ask(0);
  return nparams === 0 ? [] : (await ask(nparams)).params;
}

/** Scheduler parameters; how many there are is told by another call. */
export async function schedulerParameters(lv: Caller, dom: Domain, flags = 0): Promise<readonly TypedParam[]> {
  const { nparams } = await lv.call('domainGetSchedulerType', { dom });
  const reply = await lv.call('domainGetSchedulerParametersFlags', { dom, nparams, flags: flags | STRING_OKAY });
  return reply.params;
}

/** CPU time of a host CPU (-1: of all together), in ns by kind (`user`, `kernel`, `idle`, `iowait` …). */
export async function nodeCPUStats(lv: Caller, cpuNum = -1): Promise<ReadonlyMap<string, number>> {
  const { nparams } = await lv.call('nodeGetCPUStats', { cpuNum, nparams: 0 });
  const { params } = await lv.call('nodeGetCPUStats', { cpuNum, nparams });
  return new Map(params.map((p) => [p.field, p.value]));
}

/** Memory of a NUMA cell of the host (-1: of the host), in KiB by kind (`total`, `free`, `buffers`, `cached`). */
export async function nodeMemoryStats(lv: Caller, cellNum = -1): Promise<ReadonlyMap<string, number>> {
  const { nparams } = await lv.call('nodeGetMemoryStats', { cellNum, nparams: 0 });
  const { params } = await lv.call('nodeGetMemoryStats', { cellNum, nparams });
  return new Map(params.map((p) => [p.field, p.value]));
}

/** Bit set of physical CPUs as libvirt wants it: `cpumap([0, 9])`, at least `cpus` bits long. */
export function cpumapOf(list: readonly number[], cpus = 0): Buffer {
  const map = Buffer.alloc(Math.ceil(Math.max(cpus, ...list.map((n) => n + 1)) / 8));
  for (const n of list) map.writeUInt8((map[n >> 3] ?? 0) | (1 << (n & 7)), n >> 3);
  return map;
}

/** The CPUs of a bit set. */
export function cpusOf(map: Uint8Array): number[] {
  return [...map].flatMap((byte, i) => [0, 1, 2, 3, 4, 5, 6, 7].filter((b) => byte & (1 << b)).map((b) => i * 8 + b));
}

/**
 * Sends a command to the QEMU guest agent and returns its `return` value. `timeoutS`: seconds the daemon waits for the
 * agent (-2 for ever, -1 its default of 5, 0 not at all). Rejects with AGENT_UNRESPONSIVE when there is no answer.
 */
export async function agentCommand(
  lv: Caller,
  dom: Domain,
  execute: string,
  args: Readonly<Record<string, unknown>> = {},
  timeoutS = -1,
): Promise<unknown> {
  const cmd = JSON.stringify({ execute, arguments: args });
  // The daemon's wait comes first, so that its error is what the caller sees.
  const timeoutMs = timeoutS > 0 ? timeoutS * 1000 + 10_000 : timeoutS === -2 ? Infinity : 30_000;
  const { result } = await lv.call('domainQemuAgentCommand', { dom, cmd, timeout: timeoutS }, { timeoutMs });
  return parseAgentReply(execute, result);
}

function parseAgentReply(execute: string, text: string | null): unknown {
  if (text === null) return undefined;
  try {
    return (JSON.parse(text) as { return?: unknown }).return;
  } catch (e) {
    throw new ConnectionError('PROTOCOL', `guest agent, ${execute}: the reply is no JSON`, e);
  }
}
