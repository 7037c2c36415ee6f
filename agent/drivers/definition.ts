import { OstlerError } from '../../proto/kit/errors.js';
import type { ImageRef } from '../../proto/model/image.js';
import { rootDisk, type VmRecord } from '../../proto/model/vm.js';
import { vlanRefusals } from '../core/plan-nics.js';
import type { Refusal } from '../core/refusal.js';
import { diskFileName, seedFileName } from '../core/vm-files.js';
import { planVolumes, type ImageStep, type VolumeStep } from '../core/volume-plan.js';
import { seedIso } from '../seed/seed.js';
import { buildDomainXml } from '../xml/build-domain.js';
import { parseFileName } from '../core/vm-files.js';
import { readChain } from './snapshots/scene.js';
import type { DriverDeps } from './deps.js';
import type { Pool } from './pools.js';
import { asOstlerError } from './xml-errors.js';

/** Everything a VM needs on this host, as data: made from the record anew at every start. */
export interface VmPlan {
  readonly images: readonly ImageStep[];
  readonly volumes: readonly VolumeStep[];
  /** Undefined: this VM has no seed. */
  readonly seedPath: string | undefined;
  readonly directory: string;
  readonly xml: string;
  /** There is a document of its disks' files: they have, or had, snapshots. */
  readonly chained: boolean;
  readonly pools: readonly string[];
}

/** cloud-init runs again when this grows; nothing asks for that yet. */
const SEED_GENERATION = 1;

type PlanDeps = Pick<DriverDeps, 'pools' | 'host' | 'layout' | 'accelerator' | 'defaultBridge'>;

/**
 * The plan of a VM, or the first reason why this host cannot have it. `room`: whether the pools must have room for what
 * would have to be written.
 */
export async function planVm(
  record: VmRecord,
  images: readonly ImageRef[],
  options: { room: boolean },
  deps: PlanDeps,
): Promise<VmPlan> {
  const vlans = vlanRefusals(record.spec.nics);
  if (vlans.length > 0) throw refusalError(vlans);
  const pools = await deps.pools.list({ fresh: options.room });
  const plan = planVolumes(record, {
    pools: options.room ? pools : pools.map((pool) => ({ ...pool, availableBytes: Number.MAX_SAFE_INTEGER })),
    defaultPool: deps.pools.defaultPool,
    images: new Map(images.map((image) => [image.id, image])),
    listings: options.room ? await listAll(pools, deps) : new Map(),
  });
  if (!plan.ok) throw refusalError(plan.refusals);
  const { volumes, chained } = await onPresentFiles(plan.volumes, record, pools, deps);
  const used = pools.filter((pool) => volumes.some((volume) => volume.pool === pool.name));
  const seedPath = record.spec.cloudInit.enabled ? seedPathOf(record, pools, deps.pools.defaultPool) : undefined;
  const { accelerator } = await deps.accelerator.choose();
  const xml = asOstlerError(() =>
    buildDomainXml(record, {
      virtType: accelerator === 'kvm' ? 'kvm' : 'qemu',
      disks: new Map(volumes.map(({ diskName, path, format }) => [diskName, { path, format }])),
      ...(seedPath === undefined ? {} : { seedPath }),
      serialLogPath: deps.layout.serialLog(record.id),
      defaultBridge: deps.defaultBridge,
      diskCache: used.every((pool) => pool.directIo) ? 'none' : 'writeback',
    }),
  );
  const { images: imageSteps } = plan;
  const directory = deps.layout.vmDirectory(record.id);
  return { images: imageSteps, volumes, seedPath, directory, xml, chained, pools: used.map((pool) => pool.name) };
}

/** With snapshots a disk stands on the newest of its files. */
async function onPresentFiles(
  volumes: readonly VolumeStep[],
  record: VmRecord,
  pools: readonly Pool[],
  deps: Pick<PlanDeps, 'pools' | 'host'>,
): Promise<{ readonly volumes: readonly VolumeStep[]; readonly chained: boolean }> {
  const chain = await readChain(record, pools, deps);
  if (chain === undefined) return { volumes, chained: false };
  const present = volumes.map((volume) => {
    const file = chain.state.current[volume.diskName];
    if (file === undefined || parseFileName(file)?.kind !== 'overlay') return volume;
    return { ...volume, path: `${volume.path.slice(0, volume.path.lastIndexOf('/'))}/${file}` };
  });
  return { volumes: present, chained: true };
}

/** What would be made for disks that the VM does not have yet; throws the first reason why that cannot be. */
export async function planNewVolumes(
  record: VmRecord,
  disks: VmRecord['spec']['disks'],
  images: readonly ImageRef[],
  deps: Pick<DriverDeps, 'pools' | 'host'>,
): Promise<readonly VolumeStep[]> {
  const pools = await deps.pools.list({ fresh: true });
  const plan = planVolumes(
    { ...record, spec: { ...record.spec, disks: [...disks] } },
    {
      pools,
      defaultPool: deps.pools.defaultPool,
      images: new Map(images.map((image) => [image.id, image])),
      listings: await listAll(pools, deps),
    },
  );
  if (!plan.ok) throw refusalError(plan.refusals);
  return (await onPresentFiles(plan.volumes, record, pools, deps)).volumes;
}

/** The seed's bytes: the same record always gives the same. */
export function seedOf(record: VmRecord): Buffer {
  return asOstlerError(() => seedIso(record, SEED_GENERATION));
}

/** Beside the boot disk. */
function seedPathOf(record: VmRecord, pools: readonly Pool[], defaultPool: string): string {
  const first = rootDisk(record.spec) ?? record.spec.disks[0];
  const name = first === undefined || first.pool === '' ? defaultPool : first.pool;
  const directory = pools.find((pool) => pool.name === name)?.path ?? '';
  return `${directory}/${seedFileName(record.id)}`;
}

async function listAll(
  pools: readonly Pool[],
  deps: Pick<DriverDeps, 'host'>,
): Promise<Map<string, readonly string[]>> {
  const usable = pools.filter((pool) => pool.active && pool.path.startsWith('/'));
  return new Map(
    await Promise.all(usable.map(async (pool) => [pool.name, await deps.host.files.list(pool.path)] as const)),
  );
}

export function refusalError(refusals: readonly Refusal[]): Error {
  const [first] = refusals;
  if (first === undefined) return new OstlerError('INTERNAL', 'The plan was refused without a reason.');
  const others = refusals.slice(1).map((refusal, index) => [`also.${index + 1}`, refusal.message] as const);
  return new OstlerError(first.code, first.message, {
    field: first.field,
    remedy: first.remedy,
    metadata: Object.fromEntries(others),
  });
}

/** Where a disk of a VM lies in a directory, whether it is there or not. */
export function diskPath(directory: string, vmId: string, disk: string): string {
  return `${directory}/${diskFileName(vmId, disk)}`;
}
