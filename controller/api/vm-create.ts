import { randomBytes, randomUUID } from 'node:crypto';
import { parseDocument } from 'yaml';
import type { ostler } from '../../proto/gen/ostler.js';
import { parseModel, vmSpecDraftFromWire, type VmSpecDraft } from '../../proto/convert.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { ID_PATTERN, uuidSchema } from '../../proto/model/names.js';
import { vmRecordSchema, type VmRecord } from '../../proto/model/vm.js';
import { completeSpec, findContradiction, type KnownImage, type VmDraft } from '../core/vm-defaults.js';
import type { NewId } from '../engine/ids.js';
import type { Clock } from '../../proto/kit/clock.js';
import type { Store } from '../store/store.js';
import { findHost } from '../store/lookup.js';
import { requireImage } from './lookup.js';

export interface RecordDeps {
  readonly store: Store;
  readonly clock: Clock;
  readonly newId: NewId;
  /** crypt(3) of a plain password. */
  readonly hashPassword: (password: string) => Promise<string>;
}

type Request = Pick<ostler.v1.CreateVmRequest, 'name' | 'displayName' | 'description' | 'labels' | 'createdBy'> & {
  readonly spec?: ostler.v1.VmSpec.$Properties | null | undefined;
};

/** QEMU's own range, which every tool takes for a virtual machine. */
const MAC_PREFIX = '52:54:00';

/** The complete record that the request asks for. INVALID_FIELD, NOT_FOUND, WRONG_STATE, ALREADY_EXISTS name the field. */
export async function recordFromRequest(request: Request, deps: RecordDeps): Promise<VmRecord> {
  const { store } = deps;
  if (request.spec === null || request.spec === undefined)
    throw invalidField('spec', 'is missing', 'Give at least one disk.');
  const { cloudInit, ...rest } = vmSpecDraftFromWire(request.spec, 'spec');
  const draft: VmDraft = { ...rest, cloudInit: await hashedSeed(cloudInit, deps) };
  const images = knownImages(draft, store);
  const usedMacs = macsInUse(store);
  const given = { images, macs: freshMacs(Math.max(1, draft.nics.length), usedMacs) };
  const id = deps.newId('i');
  const spec = completeSpec(draft, given);
  // M-001 … M-003: the id is ours; both names default to it.
  const record = parseModel(
    vmRecordSchema,
    {
      id,
      uuid: randomUUID(),
      name: request.name === '' ? id : request.name,
      displayName: request.displayName === '' ? id : request.displayName,
      description: request.description,
      labels: { ...request.labels },
      spec,
      epoch: 0,
      createdBy: request.createdBy === '' ? 'manual' : request.createdBy,
      createTime: deps.clock.now(),
      startedOnce: false,
    },
    '',
  );
  const contradiction = findContradiction(draft, record.spec, given);
  if (contradiction !== undefined) throw invalidField(`spec.${contradiction.field}`, contradiction.why);
  checkName(record.name, id);
  checkWish(record.spec.placement.host, store);
  checkMacs(record, usedMacs);
  return record;
}

/** C-106: a MAC address is one NIC's, in the whole cluster. `used` are those of other VMs. */
export function checkMacs({ name, spec }: Pick<VmRecord, 'name' | 'spec'>, used: ReadonlyMap<string, string>): void {
  const own = new Set<string>();
  for (const [index, nic] of spec.nics.entries()) {
    const owner = own.has(nic.mac) ? `another NIC of ${name}` : used.get(nic.mac);
    own.add(nic.mac);
    if (owner === undefined) continue;
    throw new OstlerError('ALREADY_EXISTS', `spec.nics[${index}].mac: ${nic.mac} belongs to ${owner}.`, {
      field: `spec.nics[${index}].mac`,
      remedy: 'Leave it empty: a free one is chosen.',
    });
  }
}

/** A name that looks like an id or a UUID could never be told from one in a reference. */
export function checkName(name: string, ownId: string): void {
  if (name === ownId || (!ID_PATTERN.test(name) && !uuidSchema.safeParse(name.toLowerCase()).success)) return;
  throw invalidField('name', 'looks like an id of this system', 'Choose another name.');
}

export function checkWish(host: string, store: Store): void {
  if (host === '' || findHost(store, host) !== undefined) return;
  const field = 'spec.placement.host';
  throw new OstlerError('NOT_FOUND', `${field}: there is no host ${JSON.stringify(host)}.`, {
    field,
    remedy: 'See what there is: `ostler host list`.',
  });
}

/** The plain password ends here. */
export async function hashedSeed(
  seed: VmSpecDraft['cloudInit'],
  deps: RecordDeps,
): Promise<Omit<VmSpecDraft['cloudInit'], 'password'>> {
  const { password, ...rest } = seed;
  checkNetworkConfig(rest.networkConfig);
  if (password === '') return rest;
  const field = 'spec.cloud_init.password';
  if (rest.passwordHash !== '') throw invalidField(field, 'and password_hash are both given');
  if (!rest.enabled) throw invalidField('spec.cloud_init.enabled', 'is false, but a password is given');
  if (password.length > 128 || /\p{Cc}/u.test(password))
    throw invalidField(field, 'has control characters, or more than 128 characters');
  return { ...rest, passwordHash: await deps.hashPassword(password) };
}

function checkNetworkConfig(text: string): void {
  if (text === '') return;
  const field = 'spec.cloud_init.network_config';
  const document = parseDocument(text, { prettyErrors: false });
  const problem = document.errors[0];
  if (problem !== undefined) throw invalidField(field, `is not YAML: ${problem.message}`);
  let parsed: unknown;
  try {
    parsed = document.toJS({ maxAliasCount: 20 });
  } catch (error) {
    throw invalidField(field, `is not YAML: ${(error as Error).message}`);
  }
  if (typeof parsed !== 'object' || parsed === null || Array.isArray(parsed))
    throw invalidField(field, 'is not a network configuration of cloud-init, version 2');
}

export function knownImages(draft: VmDraft, store: Store): Map<string, KnownImage> {
  const images = new Map<string, KnownImage>();
  for (const [index, disk] of draft.disks.entries()) {
    if (disk.image === '' || images.has(disk.image)) continue;
    const field = `spec.disks[${index}].image`;
    const { value: image } = requireImage(store, disk.image, field);
    if (image.state !== 'ready') {
      const why = image.stateReason === '' ? image.state : image.stateReason;
      throw new OstlerError('WRONG_STATE', `${field}: the image ${image.name} is not ready (${why}).`, {
        field,
        remedy: 'Finish its upload first.',
      });
    }
    const { id, format, virtualSizeBytes, osType, defaults = {} } = image;
    images.set(disk.image, { id, format, virtualSizeBytes, osType, defaults });
  }
  return images;
}

/** MAC → name of the VM that has it. */
export function macsInUse(store: Store, except = ''): Map<string, string> {
  const used = new Map<string, string>();
  for (const { id, value } of store.list('vm')) {
    if (value.settled === 'expunged' || id === except) continue;
    for (const nic of value.record.spec.nics) used.set(nic.mac, value.record.name);
  }
  return used;
}

export function freshMacs(count: number, used: ReadonlyMap<string, string>): string[] {
  const fresh = new Set<string>();
  while (fresh.size < Math.min(count, 64)) {
    const tail = randomBytes(3).toString('hex').match(/../g) ?? [];
    const mac = [MAC_PREFIX, ...tail].join(':');
    if (!used.has(mac)) fresh.add(mac);
  }
  return [...fresh];
}
