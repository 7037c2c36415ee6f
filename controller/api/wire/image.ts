import type { ostler } from '../../../proto/gen/ostler.js';
import { enumToWire, imageDefaultsToWire, IMAGE_FORMATS, IMAGE_STATES, OS_TYPES } from '../../../proto/convert.js';
import { toWireTime } from '../../../proto/time.js';
import type { ImageDoc } from '../../core/model.js';
import { etagOf, type Stored } from '../../store/store.js';

export function imageToWire(stored: Stored<ImageDoc>, receivedBytes: number): ostler.v1.Image.$Properties {
  const image = stored.value;
  return {
    id: image.id,
    name: image.name,
    displayName: image.displayName,
    description: image.description,
    format: enumToWire(IMAGE_FORMATS, image.format),
    osType: enumToWire(OS_TYPES, image.osType),
    state: enumToWire(IMAGE_STATES, image.state),
    stateReason: image.stateReason,
    fileBytes: image.fileBytes,
    receivedBytes,
    virtualSizeBytes: image.virtualSizeBytes,
    sha256: image.sha256,
    etag: etagOf(stored),
    createTime: toWireTime(image.createTime),
    defaults: image.defaults === undefined ? null : imageDefaultsToWire(image.defaults),
  };
}
