import { newFiles, type ChainState } from '../../core/snapshot-chain/model.js';
import { editDomain } from '../../xml/edit.js';
import { readDomain } from '../../xml/read-domain.js';
import { setDiskFile } from '../../xml/snapshot.js';
import { asOstlerError } from '../xml-errors.js';
import { driveOf } from './look.js';
import { save, type Scene } from './scene.js';

/** Makes the overlays that `next` has more than the present; empty, each on the file it stands on. Durable when it returns. */
export async function makeOverlays(scene: Scene, next: ChainState): Promise<void> {
  const { qemuImg } = scene.deps.host;
  for (const name of newFiles(scene.doc.state, next)) {
    scene.context.signal.throwIfAborted();
    const { backing = '' } = next.files[name] ?? {};
    const base = scene.path(backing);
    const { virtualSizeBytes } = await qemuImg.glance(base);
    const options = { path: scene.path(name), format: 'qcow2', sizeBytes: virtualSizeBytes } as const;
    await qemuImg.create({ ...options, backing: { path: base, format: 'qcow2' } });
    scene.deps.fault('snapshot.overlay-made');
  }
}

/** Takes back what was made for a change that did not happen. */
export async function dropOverlays(scene: Scene, next: ChainState, others: readonly string[] = []): Promise<void> {
  const { files } = scene.deps.host;
  for (const name of [...newFiles(scene.doc.state, next), ...others]) {
    await files.remove(scene.path(`${name}.tmp`));
    await files.remove(scene.path(name));
    scene.deps.fault('snapshot.overlay-dropped');
  }
  await save(scene, { pending: undefined });
}

/** Puts the definition of a domain that does not run on the files of `next`, so that libvirt shows what is. */
export async function redefine(scene: Scene, next: ChainState): Promise<void> {
  const { hypervisor, fault } = scene.deps;
  const before = await hypervisor.domainXml(scene.record.uuid, { inactive: true, secure: true });
  await hypervisor.defineDomain(withFiles(scene, before, next));
  fault('snapshot.redefined');
}

/** A definition with its disks on the files of a state. */
export function withFiles(scene: Scene, xml: string, next: ChainState): string {
  const { disks } = asOstlerError(() => readDomain(xml));
  const edits = Object.entries(next.current).flatMap(([disk, file]) => {
    const dev = driveOf(scene, disk, disks)?.dev;
    return dev === undefined ? [] : [setDiskFile(dev, scene.path(file))];
  });
  return asOstlerError(() => editDomain(xml, edits));
}
