import { isDeepStrictEqual } from 'node:util';
import type { ostler } from '../../proto/gen/ostler.js';
import { parseModel, vmSpecDraftFromWire } from '../../proto/convert.js';
import { invalidField, isCode, OstlerError } from '../../proto/kit/errors.js';
import { descriptionSchema, displayNameSchema, labelsSchema, nameSchema } from '../../proto/model/names.js';
import { vmSpecSchema, type VmSpec } from '../../proto/model/vm.js';
import type { ErrorInfo } from '../core/error-info.js';
import type { VmChanges, VmDoc } from '../core/model.js';
import { imageRefs } from '../core/operations/machine.js';
import { withChanges } from '../core/operations/vm-update.js';
import { sizeText } from '../core/sizes.js';
import { changedSpec, SPEC_PATHS, specPathsOf, type SpecPath } from '../core/spec-change.js';
import { findContradiction, type Given, type VmDraft } from '../core/vm-defaults.js';
import type { ClusterView } from '../core/view.js';
import type { Agents, Operations, RecordPlan } from '../engine/env.js';
import { etagOf, type Stored } from '../store/store.js';
import type { Call } from './call.js';
import { requireVm } from './lookup.js';
import { checkRequestId, earlierOperation } from './request.js';
import {
  checkMacs,
  checkName,
  checkWish,
  freshMacs,
  hashedSeed,
  knownImages,
  macsInUse,
  type RecordDeps,
} from './vm-create.js';
import { answer, submit } from './vm-submit.js';

export interface UpdateDeps extends RecordDeps {
  readonly agents: Agents;
  readonly operations: Operations;
  readonly view: () => ClusterView;
}

type Request = ostler.v1.UpdateVmRequest;

/** How often a change is made anew because somebody else changed the VM between reading and writing. */
const ROUNDS = 5;

/**
 * The change as a whole is planned by the VM's host before anything is stored: a refusal is the answer to the request.
 * `validate_only` answers with the plan.
 */
export async function updateVm(
  request: Request,
  call: Call,
  deps: UpdateDeps,
): Promise<ostler.v1.Operation.$Properties> {
  checkRequestId(request.requestId);
  const id = requireVm(deps.store, request.vm).id;
  // The same request again: what it asked for is there by now. The engine compares the two.
  const earlier = request.validateOnly ? undefined : earlierOperation(deps.store, call.caller.name, request.requestId);
  if (earlier !== undefined) return answer(await submit('UpdateVm', request, id, earlier.args, call, deps), deps);
  for (let round = 1; ; round += 1) {
    try {
      return await updateOnce(request, requireVm(deps.store, id), call, deps);
    } catch (error) {
      const stale = error instanceof OstlerError && error.code === 'STALE_ETAG';
      if (!stale || request.etag !== '' || round === ROUNDS) throw error;
    }
  }
}

async function updateOnce(
  request: Request,
  vm: Stored<VmDoc>,
  call: Call,
  deps: UpdateDeps,
): Promise<ostler.v1.Operation.$Properties> {
  const changes = await changesFromRequest(request, vm, deps);
  const args = { kind: 'vm.update', changes } as const;
  if (changes.spec === undefined) return answer(await submit('UpdateVm', request, vm.id, args, call, deps), deps);
  const etag = request.etag === '' ? etagOf(vm) : request.etag;
  // First whatever the controller has against it: state, names, room.
  const question = { requestId: request.requestId, validateOnly: true, etag };
  const dry = await submit('UpdateVm', question, vm.id, args, call, deps);
  const plan = await planOf(vm.value, changes, call, deps);
  refuse(plan.refusals);
  const sentences = plan.changes.map((change) => change.sentence ?? '');
  if (request.validateOnly) return answer({ ...dry, plan: sentences }, deps);
  const result = await submit('UpdateVm', request, vm.id, args, call, deps, etag);
  return answer({ ...result, plan: sentences }, deps);
}

function planOf(vm: VmDoc, changes: VmChanges, call: Call, deps: UpdateDeps): Promise<RecordPlan> {
  const record = withChanges(vm.record, changes);
  const images = imageRefs(record, deps.view());
  const deleteVolumes = changes.deleteVolumes === true;
  return deps.agents.planRecord(vm.hostId, { previous: vm.record, record, images, deleteVolumes }, call.signal);
}

/** What is stored and not in effect. A host that cannot say it says so by an error of its own. */
export async function pendingChanges(
  vm: VmDoc,
  call: Call,
  deps: UpdateDeps,
): Promise<readonly ostler.v1.SpecChange.$Properties[]> {
  if (vm.settled !== 'running' && vm.settled !== 'paused') return [];
  return (await planOf(vm, {}, call, deps)).changes;
}

/** The first refusal is the error; the others are in its metadata by field. */
function refuse(refusals: readonly ErrorInfo[]): void {
  const [first, ...others] = refusals;
  if (first === undefined) return;
  const more = Object.fromEntries(others.map((one) => [one.field ?? '', one.message]));
  const code = isCode(first.code) ? first.code : 'INTERNAL';
  throw OstlerError.fromInfo({ ...first, code, metadata: { ...first.metadata, ...more } });
}

const NAMES = ['name', 'display_name', 'description', 'labels'] as const;
/** Switched off by a mask only: without one, false is not said. */
const SWITCHES = ['spec.autostart', 'spec.delete_protection'];

async function changesFromRequest(request: Request, vm: Stored<VmDoc>, deps: UpdateDeps): Promise<VmChanges> {
  const { values } = request;
  if (values === null || values === undefined) throw invalidField('values', 'is missing');
  const paths = request.updateMask?.paths ?? [];
  // AIP-134: without a mask, the fields that are there.
  const wanted = paths.length > 0 ? paths : presentPaths(values);
  if (wanted.length === 0) throw invalidField('update_mask', 'names no field, and `values` holds none');
  const changes: { -readonly [K in keyof VmChanges]: VmChanges[K] } = {};
  const specPaths: SpecPath[] = [];
  for (const path of wanted) {
    switch (path) {
      case 'name':
        changes.name = parseModel(nameSchema, values.name ?? '', 'values.name');
        checkName(changes.name, vm.id);
        break;
      case 'display_name':
      case 'displayName':
        changes.displayName = parseModel(displayNameSchema, values.displayName ?? '', 'values.display_name');
        break;
      case 'description':
        changes.description = parseModel(descriptionSchema, values.description ?? '', 'values.description');
        break;
      case 'labels':
        changes.labels = parseModel(labelsSchema, { ...values.labels }, 'values.labels');
        break;
      case 'spec':
        setSwitches(changes, values.spec ?? {}, vm.value.record.spec);
        specPaths.push(...requireSpecPaths(path));
        break;
      case 'spec.autostart':
      case 'autostart':
        changes.autostart = values.spec?.autostart ?? false;
        break;
      case 'spec.delete_protection':
      case 'spec.deleteProtection':
      case 'delete_protection':
        changes.deleteProtection = values.spec?.deleteProtection ?? false;
        break;
      default:
        specPaths.push(...requireSpecPaths(path));
    }
  }
  checkSwitches(vm.value, changes);
  if (specPaths.length > 0) {
    changes.spec = await specFromRequest(values.spec ?? {}, specPaths, vm, deps);
    if (request.deleteVolumes) changes.deleteVolumes = true;
  }
  return changes;
}

/** The whole spec: its switches, too. Those that are for ever may be said again, not switched on. */
function setSwitches(
  changes: { -readonly [K in keyof VmChanges]: VmChanges[K] },
  wire: ostler.v1.VmSpec.$Properties,
  before: VmSpec,
): void {
  changes.autostart = wire.autostart ?? false;
  changes.deleteProtection = wire.deleteProtection ?? false;
  if (wire.tpm === true && before.tpm !== true) throw forEver('spec.tpm');
  if (wire.resetRootAtReboot === true && before.resetRootAtReboot !== true) throw forEver('spec.reset_root_at_reboot');
}

function checkSwitches({ record }: VmDoc, changes: VmChanges): void {
  if (changes.autostart !== true || record.spec.resetRootAtReboot !== true) return;
  const why = 'excludes reset_root_at_reboot: the host would start the VM by itself, with the disk as it is';
  throw invalidField('values.spec.autostart', why);
}

function requireSpecPaths(path: string): readonly SpecPath[] {
  const found = specPathsOf(path);
  if (found !== undefined) return found;
  throw forEver(path, 'update_mask');
}

function forEver(path: string, field = `values.${path}`): OstlerError {
  return new OstlerError('UNSUPPORTED', `${field}: ${JSON.stringify(path.slice(0, 80))} cannot be changed.`, {
    field,
    remedy: `These can: ${[...NAMES, ...SWITCHES, ...SPEC_PATHS.map((one) => `spec.${one}`)].join(', ')}.`,
  });
}

function presentPaths(values: ostler.v1.Vm.$Properties): string[] {
  const { spec } = values;
  const names = NAMES.filter((path) => isPresent(path === 'display_name' ? values.displayName : values[path]));
  if (spec === null || spec === undefined) return names;
  const below = SPEC_PATHS.filter((path) => {
    let value: unknown = spec;
    for (const key of path.split('.'))
      value = (value as Record<string, unknown> | null | undefined)?.[
        key.replace(/_([a-z])/g, (_all, letter: string) => letter.toUpperCase())
      ];
    return isPresent(value);
  });
  const switches = [
    ...(spec.autostart === true ? ['spec.autostart'] : []),
    ...(spec.deleteProtection === true ? ['spec.delete_protection'] : []),
  ];
  return [...names, ...below.map((path) => `spec.${path}`), ...switches];
}

function isPresent(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.keys(value).length > 0;
  return value !== '' && value !== 0 && value !== false && value !== undefined && value !== null;
}

async function specFromRequest(
  wire: ostler.v1.VmSpec.$Properties,
  paths: readonly SpecPath[],
  vm: Stored<VmDoc>,
  deps: UpdateDeps,
): Promise<VmSpec> {
  const { record } = vm.value;
  const { cloudInit, ...rest } = vmSpecDraftFromWire(wire, 'spec');
  const seed = paths.includes('cloud_init') ? await hashedSeed(cloudInit, deps) : record.spec.cloudInit;
  const draft: VmDraft = { ...rest, cloudInit: seed };
  const used = macsInUse(deps.store, vm.id);
  const images = knownImages({ ...draft, disks: [...draft.disks, ...record.spec.disks] }, deps.store);
  const given = { images, macs: freshMacs(Math.max(1, draft.nics.length), used) };
  const changed = changedSpec(record.spec, draft, paths, given);
  checkFirsts(record.spec, changed.spec);
  checkCeilings(changed.spec);
  const spec = parseModel(vmSpecSchema, changed.spec, 'spec');
  checkContradiction(changed.draft, spec, { given, paths, before: record.spec });
  if (spec.placement.host !== record.spec.placement.host) checkWish(spec.placement.host, deps.store);
  checkMacs({ name: record.name, spec }, used);
  return spec;
}

/** What was there before is not judged anew; a disk that shrinks is the agent's to refuse, as one that only grows. */
function checkContradiction(
  draft: VmDraft,
  spec: VmSpec,
  about: { readonly given: Given; readonly paths: readonly SpecPath[]; readonly before: VmSpec },
): void {
  const found = findContradiction(draft, spec, about.given);
  if (found === undefined) return;
  const sameSeed = isDeepStrictEqual(draft.cloudInit, about.before.cloudInit);
  if (found.field.startsWith('cloud_init') && (sameSeed || !about.paths.includes('cloud_init'))) return;
  const index = Number(/^disks\[(\d+)\]\.size_bytes$/.exec(found.field)?.[1] ?? 'NaN');
  if (about.before.disks.some((disk) => disk.name === spec.disks[index]?.name)) return;
  throw invalidField(`spec.${found.field}`, found.why);
}

/** C-101, C-103: a VM keeps its boot disk and its first NIC; said here, where the schema would only miss something. */
function checkFirsts(before: VmSpec, after: VmSpec): void {
  const disk = before.disks[0]?.name ?? '';
  if (after.disks.length === 0)
    throw new OstlerError('WRONG_STATE', `The boot disk ${disk} cannot be removed; only data disks can.`, {
      field: 'spec.disks',
      remedy: 'Delete the VM instead.',
    });
  const nic = before.nics[0]?.name ?? '';
  if (after.nics.length === 0)
    throw new OstlerError('WRONG_STATE', `The first NIC ${nic} cannot be removed; only secondary ones can.`, {
      field: 'spec.nics',
      remedy: 'Add or remove a secondary NIC.',
    });
}

/** C-059, C-109: more than the ceiling is a matter of the VM, not of the request's form. */
function checkCeilings({ cpu, memory }: VmSpec): void {
  const refuseOver = (field: string, message: string, ceiling: string): never => {
    throw new OstlerError('WRONG_STATE', `${field}: ${message}`, {
      field,
      remedy: `Stop the VM, raise ${ceiling} as well, then start it.`,
    });
  };
  if (cpu.vcpus > cpu.maxVcpus)
    refuseOver('spec.cpu.vcpus', `${cpu.vcpus} vCPUs are more than its maximum of ${cpu.maxVcpus}.`, 'max_vcpus');
  if (memory.sizeBytes > memory.maxSizeBytes) {
    const message = `${sizeText(memory.sizeBytes)} are more than its maximum of ${sizeText(memory.maxSizeBytes)}.`;
    refuseOver('spec.memory.size_bytes', message, 'max_size_bytes');
  }
}
