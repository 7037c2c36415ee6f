import { OstlerError } from '../../proto/kit/errors.js';
import type { ImageRef } from '../../proto/model/image.js';
import type { ImageInfo } from '../host.js';

/**
 * An image from outside may name files of the host: as its backing file, as its external data file, or by being a qcow2
 * that calls itself raw, so that a guest could write a header that the host believes later. None of these is taken.
 */
export function assertSafeImage(image: ImageRef, info: ImageInfo): void {
  const refuse = (why: string): never => {
    throw new OstlerError('BAD_IMAGE', `Image ${image.id} ${why}.`, {
      remedy: 'Flatten it with `qemu-img convert -O qcow2` and upload the result.',
      metadata: { image: image.id },
    });
  };
  const expected = image.format === 'qcow2' ? 'qcow2' : 'raw';
  if (info.format !== expected) refuse(`is of format ${info.format}, announced as ${image.format}`);
  if (info.backingFile !== undefined) refuse(`has the backing file ${JSON.stringify(info.backingFile)}`);
  if (info.dataFile !== undefined) refuse(`keeps its data in ${JSON.stringify(info.dataFile)}`);
  if (info.virtualSizeBytes !== image.virtualSizeBytes)
    refuse(`is ${info.virtualSizeBytes} bytes large inside, announced were ${image.virtualSizeBytes}`);
}
