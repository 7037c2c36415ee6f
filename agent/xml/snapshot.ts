import { requireAbsolute } from './build-disk.js';
import { setSourceFile } from './disk-source.js';
import { parseXml, serializeNode } from './document.js';
import type { DomainEdit } from './edit.js';
import {
  add,
  attribute,
  children,
  find,
  indent,
  newDocument,
  removeIndented,
  require,
  setAttributes,
} from './element.js';

export interface DiskSwitches {
  /** By target (`vda`): the overlay's path. Disks that are not here stay as they are. */
  readonly overlays: ReadonlyMap<string, string>;
  /** Targets of all the other drives. */
  readonly others: readonly string[];
  /** Empty: without memory. */
  readonly memoryFile: string;
  /** Whether the guest's agent freezes its file systems meanwhile. */
  readonly quiesce: boolean;
}

/** What libvirt is told to do to a domain's disks, for domainSnapshotCreateXML. */
export function snapshotXml({ overlays, others, memoryFile }: DiskSwitches): string {
  const { root } = newDocument('domainsnapshot');
  if (memoryFile !== '') requireAbsolute(memoryFile, 'the memory file');
  add(root, 'memory', memoryFile === '' ? { snapshot: 'no' } : { snapshot: 'external', file: memoryFile });
  const disks = add(root, 'disks');
  for (const [dev, path] of overlays) {
    requireAbsolute(path, `the overlay of ${dev}`);
    const disk = add(disks, 'disk', { name: dev, snapshot: 'external', type: 'file' });
    add(disk, 'driver', { type: 'qcow2' });
    add(disk, 'source', { file: path });
  }
  for (const dev of others) add(disks, 'disk', { name: dev, snapshot: 'no' });
  indent(root);
  return serializeNode(root);
}

/**
 * Another qcow2 behind a disk target. What the definition says of the files below it goes: libvirt would believe that
 * instead of the file itself. A domain without that disk stays as it is.
 */
export function setDiskFile(dev: string, path: string): DomainEdit {
  return (domain) => {
    const disk = children(require(domain, 'devices'), 'disk').find(
      (one) => attribute(find(one, 'target'), 'dev') === dev,
    );
    const source = disk === undefined ? undefined : find(disk, 'source');
    if (disk === undefined || source === undefined) return;
    setSourceFile(disk, source, path);
    const driver = find(disk, 'driver');
    if (driver !== undefined) setAttributes(driver, { type: 'qcow2' });
    for (const name of ['backingStore', 'mirror']) for (const old of children(disk, name)) removeIndented(old);
  };
}

/** Whether the block job on a disk of a running domain has caught up with what the guest writes. */
export function isMirrorReady(domainXml: string, dev: string): boolean {
  const { root } = parseXml(domainXml);
  const disk = children(require(root, 'devices'), 'disk').find((one) => attribute(find(one, 'target'), 'dev') === dev);
  return disk !== undefined && attribute(find(disk, 'mirror'), 'ready') === 'yes';
}
