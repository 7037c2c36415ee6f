import { OstlerError } from '../../proto/kit/errors.js';
import type { ImageFormat } from '../../proto/model/image.js';
import type { Command, Executors, Facts } from '../command.js';
import { imageFileName, parseReleasedName } from '../core/vm-files.js';
import { metadataXml, METADATA_NAMESPACE, METADATA_PREFIX } from '../xml/metadata.js';
import { apply } from './apply.js';
import type { DriverDeps } from './deps.js';
import { isActive, stateOf } from './domain-state.js';
import { expunge } from './expunge.js';
import { pause, resume, sendNmi, suspend } from './suspend.js';
import { createSnapshot } from './snapshots/create.js';
import { deleteSnapshot } from './snapshots/delete.js';
import { updateSnapshot } from './snapshots/describe.js';
import { flattenDisks } from './snapshots/flatten.js';
import { revertSnapshot } from './snapshots/revert.js';
import { provision } from './provision.js';
import { rebuildRoot } from './rebuild-root.js';
import { start } from './start.js';
import { reboot, shutdown } from './stop.js';
import { asOstlerError } from './xml-errors.js';

/** What the controller may order, and who does it. Every verb converges: see agent/command.ts. */
export function createExecutors(deps: DriverDeps): Executors {
  return {
    provision: (command, context) => provision(command, context, deps),
    start: (command, context) => start(command, context, deps),
    shutdown: (command, context) => shutdown(command, context, deps),
    reboot: (command, context) => reboot(command, context, deps),
    expunge: (command, context) => expunge(command, context, deps),
    apply: (command, context) => apply(command, context, deps),
    'set-record': (command) => setRecord(command, deps),
    'forget-image': (command) => forgetImage(command.body.image, deps),
    'snapshot-create': (command, context) => createSnapshot(command, context, deps),
    'snapshot-revert': (command, context) => revertSnapshot(command, context, deps),
    'snapshot-delete': (command, context) => deleteSnapshot(command, context, deps),
    'snapshot-update': (command, context) => updateSnapshot(command, context, deps),
    'snapshot-flatten': (command, context) => flattenDisks(command, context, deps),
    pause: (command) => pause(command, deps),
    resume: (command) => resume(command, deps),
    suspend: (command, context) => suspend(command, context, deps),
    'send-nmi': (command) => sendNmi(command, deps),
    'rebuild-root': (command, context) => rebuildRoot(command, context, deps),
  };
}

/** Names, description, labels, soft deletion: into the definition, and into the running domain when there is one. */
async function setRecord(command: Command<'set-record'>, deps: DriverDeps): Promise<Facts> {
  const { record } = command.body;
  const { state } = await stateOf(deps.hypervisor, record.uuid);
  if (state === 'gone')
    throw new OstlerError('NOT_FOUND', `${record.id} is not on this host.`, { metadata: { vm: record.id } });
  deps.fault('set-record.writing');
  await deps.hypervisor.setMetadata(record.uuid, {
    namespace: METADATA_NAMESPACE,
    prefix: METADATA_PREFIX,
    xml: asOstlerError(() => metadataXml(record)),
    live: isActive(state),
  });
  deps.fault('set-record.written');
  // A deleted VM must not come up with its host.
  const autostart = record.spec.autostart === true && record.deleteTime === undefined;
  await deps.hypervisor.setAutostart(record.uuid, autostart);
  return {};
}

/** A volume that a disk left behind may stand on the image; without it nothing could be read from it any more. */
async function refuseBeneathVolume(path: string, { host }: DriverDeps): Promise<void> {
  if (!(await host.files.exists(path))) return;
  const directory = path.slice(0, path.lastIndexOf('/'));
  for (const name of await host.files.list(directory)) {
    if (parseReleasedName(name) === undefined) continue;
    // One that cannot be read stands on nothing that we could keep for it.
    const info = await host.qemuImg.info(`${directory}/${name}`).catch(() => undefined);
    if (info?.backingFile !== path) continue;
    throw new OstlerError('IN_USE', `The kept volume ${name} stands on ${path}, which stays.`, {
      remedy: `Make ${name} a disk of a VM and flatten it there, or remove it.`,
      metadata: { volume: name },
    });
  }
}

const FORMATS: readonly ImageFormat[] = ['qcow2', 'raw', 'iso'];

async function forgetImage(image: string, deps: DriverDeps): Promise<Facts> {
  for (const directory of await deps.pools.directories())
    for (const format of FORMATS) {
      const path = `${directory}/${imageFileName(image, format)}`;
      await refuseBeneathVolume(path, deps);
      await deps.images.forget(path);
    }
  return {};
}
