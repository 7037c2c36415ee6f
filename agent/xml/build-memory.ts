import { parseXml, serializeNode } from './document.js';
import { add, attribute, children, find, indent, newDocument, require, setAttributes, setText } from './element.js';
import { kibibytes } from './units.js';
import { XmlError } from './xml-error.js';

/** Memory for a running VM, all of it in its one NUMA cell. Sizes are bytes; see formatdomain, "Memory devices". */
export type MemoryDevice =
  | {
      readonly model: 'virtio-mem';
      /** Of the device. */
      readonly sizeBytes: number;
      /** What the guest is to take of it. */
      readonly requestedBytes: number;
      readonly blockBytes: number;
    }
  | { readonly model: 'dimm'; readonly sizeBytes: number };

export function buildMemoryXml(device: MemoryDevice): string {
  const { root } = newDocument('memory', { model: device.model });
  const target = add(root, 'target');
  add(target, 'size', { unit: 'KiB' }, kibibytes(device.sizeBytes));
  add(target, 'node', {}, 0);
  if (device.model === 'virtio-mem') {
    add(target, 'block', { unit: 'KiB' }, kibibytes(device.blockBytes));
    add(target, 'requested', { unit: 'KiB' }, kibibytes(device.requestedBytes));
  }
  indent(root);
  return serializeNode(root);
}

/**
 * A virtio-mem device of a running domain with another amount for the guest: libvirt finds it by address and alias, so all
 * of it is said again. Throws XmlError (missing).
 */
export function resizeMemoryXml(domainXml: string, alias: string, requestedBytes: number): string {
  const devices = require(parseXml(domainXml).root, 'devices');
  const device = children(devices, 'memory').find((one) => attribute(find(one, 'alias'), 'name') === alias);
  if (device === undefined) throw new XmlError('missing', `The domain has no memory device ${alias}.`);
  const requested = require(device, 'target', 'requested');
  setAttributes(requested, { unit: 'KiB' });
  setText(requested, kibibytes(requestedBytes));
  return serializeNode(device);
}

/** The controller that SCSI disks hang on; libvirt by itself would choose one that no cloud kernel knows. */
export function buildScsiControllerXml(): string {
  return serializeNode(newDocument('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' }).root);
}
