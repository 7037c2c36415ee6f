import { OstlerError } from '../../proto/kit/errors.js';
import type { VmRecord } from '../../proto/model/vm.js';
import type { Command, CommandContext, Facts } from '../command.js';
import { vmFilesOf } from '../core/vm-files.js';
import type { DriverDeps } from './deps.js';
import { isActive, stateOf, unless } from './domain-state.js';
import { refreshLater } from './provision.js';
import { mergeKeptVolumes } from './snapshots/volumes-kept.js';
import { powerOff } from './start.js';

/**
 * Everything of this VM on this host: the domain with NVRAM, managed save and snapshot metadata, its files in every pool
 * (half-made ones, too), its directory, QEMU's log. Absent is success.
 */
export async function expunge(command: Command<'expunge'>, context: CommandContext, deps: DriverDeps): Promise<Facts> {
  const { record } = command.body;
  const { hypervisor, fault } = deps;
  const { state } = await stateOf(hypervisor, record.uuid);
  if (isActive(state)) await powerOff(record.uuid, deps);
  fault('expunge.powered-off');
  await mergeKeptVolumes(record, context, deps);
  deps.closeConsoles(record.uuid);
  await unless(['NOT_FOUND'], () => hypervisor.undefineDomain(record.uuid));
  fault('expunge.undefined');
  deps.intents.set(record.uuid, 'none');
  await removeFiles(record, deps);
  await deps.host.files.removeTree(deps.layout.vmDirectory(record.id));
  fault('expunge.directory-removed');
  await removeLogs(record.id, deps);
  await refuseHiddenPools(record, deps);
  return {};
}

async function removeFiles(record: VmRecord, deps: DriverDeps): Promise<void> {
  const { files } = deps.host;
  const pools = await deps.pools.list({ fresh: true });
  for (const directory of await deps.pools.directories()) {
    const names = await files.list(directory);
    const own = names.filter((name) => vmFilesOf(record.id, [name.replace(/\.tmp$/, '')]).length > 0);
    for (const name of own) {
      await files.remove(`${directory}/${name}`);
      deps.fault('expunge.file-removed');
    }
    if (own.length > 0)
      refreshLater(
        pools.filter((pool) => pool.path === directory).map((pool) => pool.name),
        deps,
      );
  }
}

/** QEMU's own log and its rotated parts: `i-….log`, `i-….log.0`. */
async function removeLogs(vmId: string, deps: DriverDeps): Promise<void> {
  const names = await deps.host.files.list(deps.qemuLogDirectory);
  for (const name of names)
    if (name === `${vmId}.log` || name.startsWith(`${vmId}.log.`))
      await deps.host.files.remove(`${deps.qemuLogDirectory}/${name}`);
}

/** A pool that cannot be looked into may hide a disk: saying "gone" would be a lie. */
async function refuseHiddenPools(record: VmRecord, deps: DriverDeps): Promise<void> {
  const pools = await deps.pools.list();
  for (const disk of record.spec.disks) {
    const name = disk.pool === '' ? deps.pools.defaultPool : disk.pool;
    const pool = pools.find((one) => one.name === name);
    if (pool?.active !== false) continue;
    throw new OstlerError('WRONG_STATE', `Pool ${name} is not active: disk ${disk.name} may still be in it.`, {
      remedy: `Start the pool on the host (virsh pool-start ${name}) and delete the VM again.`,
      metadata: { pool: name },
    });
  }
}
