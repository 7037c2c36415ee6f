import { vmSpecToWire } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { Snapshot } from '../../proto/model/snapshot.js';
import type { VmRecord, VmSpec } from '../../proto/model/vm.js';
import type { SnapshotSource } from '../core/model.js';
import type { Agents } from '../engine/env.js';
import type { Store } from '../store/store.js';
import type { Call } from './call.js';
import { requireVm } from './lookup.js';
import { findSnapshot, snapshotsOf } from './snapshots.js';

type WireSpec = ostler.v1.VmSpec.$Properties;

/** C-134: the spec and the source of a VM that is made from another one's snapshot. NOT_FOUND, WRONG_STATE name the field. */
export async function fromSnapshot(
  ref: ostler.v1.SnapshotSource.$Properties,
  asked: WireSpec,
  call: Call,
  deps: { readonly store: Store; readonly agents: Agents },
): Promise<{ readonly spec: WireSpec; readonly source: SnapshotSource }> {
  const at = 'from_snapshot';
  const vm = requireVm(deps.store, ref.vm ?? '', `${at}.vm`);
  const list = await snapshotsOf(vm, call, deps);
  const snapshot = findSnapshot(list, ref.snapshot ?? '', vm, `${at}.snapshot`);
  if (snapshot.state !== 'ready')
    throw new OstlerError('WRONG_STATE', `${at}.snapshot: ${snapshot.name} is ${snapshot.state}.`, {
      field: `${at}.snapshot`,
      remedy: snapshot.state === 'creating' ? 'Wait until it is taken.' : 'Its data is being merged: choose another.',
    });
  if ((asked.disks ?? []).length > 0)
    throw invalidField('spec.disks', 'are those of the snapshot', 'Leave them out; add others when the VM is there.');
  const { record, hostId } = vm.value;
  const { id, name } = snapshot;
  return { spec: specOf(asked, record, snapshot), source: { record, hostId, snapshot: id, name } };
}

/** Whatever is asked for goes first, message by message; the rest is that VM's, with disks that stand on no image. */
function specOf(asked: WireSpec, { spec }: VmRecord, snapshot: Snapshot): WireSpec {
  const whole = vmSpecToWire(inherited(spec, snapshot), { secrets: true });
  // Without a seed there is nothing to be said of it.
  const theirs = spec.cloudInit.enabled ? whole : { ...whole, cloudInit: { enabled: false } };
  const said = Object.fromEntries(Object.entries(asked).filter(([, value]) => isSaid(value)));
  return { ...theirs, ...said, ...(isSaid(asked.nics) && !isSaid(asked.bootOrder) ? { bootOrder: [] } : {}) };
}

/** Absent, empty and zero are "not said" in the API. */
function isSaid(value: unknown): boolean {
  if (value === undefined || value === null || value === 0 || value === false) return false;
  return !Array.isArray(value) || value.length > 0;
}

/** Not its place, nor what protects or starts it; MAC addresses are one NIC's. */
function inherited(spec: VmSpec, snapshot: Snapshot): VmSpec {
  const disks = spec.disks.flatMap((disk) => {
    const frozen = snapshot.disks.find((one) => one.name === disk.name);
    if (frozen === undefined || disk.device !== 'disk') return [];
    const { name, bus, device, pool, limits } = disk;
    const { sizeBytes } = frozen;
    const same = { name, bus, device, pool, sizeBytes, image: '', clone: 'full' } as const;
    return [limits === undefined ? same : { ...same, limits }];
  });
  const names = new Set([...disks, ...spec.nics].map((device) => device.name));
  const { autostart: _starts, deleteProtection: _protected, resetRootAtReboot: _reset, ...rest } = spec;
  return {
    ...rest,
    disks,
    nics: spec.nics.map((nic) => ({ ...nic, mac: '' })),
    bootOrder: spec.bootOrder.filter((name) => names.has(name)),
    placement: { ...spec.placement, host: '' },
  };
}
