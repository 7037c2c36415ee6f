import { serializeNode } from './document.js';
import { add, indent, newDocument } from './element.js';
import { kibibytes } from './units.js';

/** Memory for a running VM, all of it in its one NUMA cell. Sizes are bytes; see formatdomain, "Memory devices". */
export type MemoryDevice =
  | {
      readonly model: 'virtio-mem';
      /** Of the device. */
      readonly sizeBytes: number;
      /** What the guest is to take of it. */
      readonly requestedBytes: number;
      readonly blockBytes: number;
      /** Names the device that is changed. */
      readonly alias?: string;
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
    if (device.alias !== undefined) add(root, 'alias', { name: device.alias });
  }
  indent(root);
  return serializeNode(root);
}

/** The controller that SCSI disks hang on; libvirt by itself would choose one that no cloud kernel knows. */
export function buildScsiControllerXml(): string {
  return serializeNode(newDocument('controller', { type: 'scsi', index: 0, model: 'virtio-scsi' }).root);
}
