import { createHash } from 'node:crypto';
import { makeQcow2 } from '../../../agent/fake/qcow2.js';
import { imageRefToWire, vmRecordToWire } from '../../../proto/convert.js';
import type { ostler } from '../../../proto/gen/ostler.js';
import type { ImageRef } from '../../../proto/model/image.js';
import { MIB, type VmRecord } from '../../../proto/model/vm.js';

export const IMAGE_ID = 'img-0123456789';

/** An image with some weight, so that its download can be cut. */
export function sampleImage(): { readonly content: Buffer; readonly ref: ImageRef } {
  const virtualSizeBytes = 64 * MIB;
  const content = Buffer.concat([makeQcow2(virtualSizeBytes), Buffer.alloc(300_000, 'x')]);
  return { content, ref: refOf(content, 'qcow2', virtualSizeBytes) };
}

export function refOf(content: Buffer, format: ImageRef['format'], virtualSizeBytes: number): ImageRef {
  const sha256 = createHash('sha256').update(content).digest('hex');
  return { id: IMAGE_ID, format, fileBytes: content.length, virtualSizeBytes, sha256 };
}

type Body = Omit<ostler.v1.Command.$Properties, 'id' | 'vmId' | 'vmUuid' | 'epoch'>;

export function commandFor(record: VmRecord, id: string, body: Body): ostler.v1.Command.$Properties {
  return { id, operation: 'op-1', vmId: record.id, vmUuid: record.uuid, epoch: record.epoch, ...body };
}

export function provisionOf(record: VmRecord, id: string, images: readonly ImageRef[]): ostler.v1.Command.$Properties {
  return commandFor(record, id, { provision: { record: vmRecordToWire(record), images: images.map(imageRefToWire) } });
}

export function startOf(record: VmRecord, id: string, images: readonly ImageRef[]): ostler.v1.Command.$Properties {
  return commandFor(record, id, { start: { record: vmRecordToWire(record), images: images.map(imageRefToWire) } });
}

export function expungeOf(record: VmRecord, id: string): ostler.v1.Command.$Properties {
  return commandFor(record, id, { expunge: { record: vmRecordToWire(record) } });
}
