import type { imageService } from '../../proto/services.js';
import { enumFromWire, imageDefaultsFromWire, IMAGE_FORMATS, OS_TYPES, parseModel } from '../../proto/convert.js';
import type { ostler } from '../../proto/gen/ostler.js';
import type { Clock } from '../../proto/kit/clock.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { sha256Schema } from '../../proto/model/image.js';
import { descriptionSchema, displayNameSchema, ID_PATTERN, imageNameSchema } from '../../proto/model/names.js';
import type { ImageDoc } from '../core/model.js';
import type { Operations } from '../engine/env.js';
import type { NewId } from '../engine/ids.js';
import { createLock } from '../engine/lock.js';
import type { ImageLibrary } from '../images/library.js';
import type { UploadMessage } from '../images/upload.js';
import { findImage } from '../store/lookup.js';
import type { Store, Stored } from '../store/store.js';
import type { ApiHandlers } from './call.js';
import { requireImage } from './lookup.js';
import { listPage } from './paging.js';
import { checkRequestId } from './request.js';
import { imageToWire } from './wire/image.js';

export interface ImagesDeps {
  readonly store: Store;
  readonly operations: Operations;
  readonly images: ImageLibrary;
  readonly clock: Clock;
  readonly newId: NewId;
}

const FILTER_KEYS = ['id', 'name', 'display_name', 'format', 'os_type', 'state', 'sha256'];
const FILE_MAX_BYTES = 2 ** 50;
const DELETE_WAIT_MS = 30_000;

export function createImages(deps: ImagesDeps): ApiHandlers<(typeof imageService)['methods']> {
  const { store, images } = deps;
  // Names are unique over all documents, which no single compare-and-swap can see: one at a time.
  const lock = createLock();
  const toWire = async (stored: Stored<ImageDoc>): Promise<ostler.v1.Image.$Properties> =>
    imageToWire(stored, await images.receivedBytes(stored.value));
  return {
    listImages: async (request) => {
      const page = listPage(store.list('image'), {
        request,
        known: { keys: FILTER_KEYS },
        read: ({ value }, key) => readField(value, key),
        orders: ['name'],
        sortKey: ({ value }) => value.name,
        id: ({ id }) => id,
      });
      return { images: await Promise.all(page.items.map(toWire)), nextPageToken: page.nextPageToken };
    },

    getImage: (request) => toWire(requireImage(store, request.image)),

    createImage: (request) =>
      lock(async () => {
        const wanted = imageFromRequest(request, deps);
        const earlier = earlierImage(wanted, store);
        if (earlier !== undefined) return toWire(earlier);
        if (findImage(store, wanted.name) !== undefined)
          throw new OstlerError('ALREADY_EXISTS', `name: there is an image ${wanted.name} already.`, {
            field: 'name',
            remedy: 'Take another name, or delete that image first.',
          });
        await images.checkRoom(wanted.fileBytes);
        const revision = await store.commit([{ kind: 'image', id: wanted.id, expect: 0, put: wanted }]);
        return toWire({ id: wanted.id, revision, value: wanted });
      }),

    uploadImage: async (requests, call) => {
      const id = await images.upload(resolved(requests, store), call.signal);
      return toWire(requireImage(store, id));
    },

    downloadImage: async function* (request) {
      const { id } = requireImage(store, request.image);
      for await (const chunk of images.read(id, request.offset)) yield { chunk };
    },

    deleteImage: async (request, call) => {
      const { id } = requireImage(store, request.image);
      const { operation } = await deps.operations.submit({
        target: id,
        args: { kind: 'image.delete' },
        requestId: '',
        requestHash: '',
        actor: call.caller.name,
        etag: request.etag,
        validateOnly: false,
      });
      // The record is gone; the copies on hosts may take longer, and the operation goes on without us.
      await deps.operations.wait(operation.id, { timeoutMs: DELETE_WAIT_MS, untilChange: false, signal: call.signal });
      return {};
    },
  };
}

/** The first message may name the image by its name. */
async function* resolved(
  requests: AsyncIterable<ostler.v1.UploadImageRequest>,
  store: Store,
): AsyncGenerator<UploadMessage> {
  for await (const { image, offset, chunk } of requests)
    yield { image: image === '' ? '' : requireImage(store, image).id, offset, chunk };
}

function imageFromRequest(request: ostler.v1.CreateImageRequest, { newId, clock }: ImagesDeps): ImageDoc {
  const name = parseModel(imageNameSchema, request.name, 'name');
  if (ID_PATTERN.test(name)) throw invalidField('name', 'looks like an id of this system');
  const format = enumFromWire(IMAGE_FORMATS, request.format, 'format');
  if (format === undefined) throw invalidField('format', 'is missing', 'Say QCOW2, RAW or ISO.');
  if (request.fileBytes === 0) throw invalidField('file_bytes', 'is missing');
  if (request.fileBytes > FILE_MAX_BYTES) throw invalidField('file_bytes', 'is more than 1 PiB');
  return {
    id: newId('img'),
    name,
    displayName: parseModel(displayNameSchema, request.displayName === '' ? name : request.displayName, 'display_name'),
    description: parseModel(descriptionSchema, request.description, 'description'),
    format,
    osType: enumFromWire(OS_TYPES, request.osType, 'os_type') ?? 'linux',
    state: 'uploading',
    stateReason: '',
    fileBytes: request.fileBytes,
    virtualSizeBytes: 0,
    sha256: parseModel(sha256Schema, request.sha256, 'sha256'),
    requestId: checkRequestId(request.requestId),
    createTime: clock.now(),
    ...defaultsOf(request),
  };
}

/** M-031 */
function defaultsOf({ defaults }: ostler.v1.CreateImageRequest): Pick<ImageDoc, 'defaults'> {
  const said = imageDefaultsFromWire(defaults ?? {}, 'defaults');
  return Object.keys(said).length === 0 ? {} : { defaults: said };
}

/** The image that an earlier call with the same request_id made. */
function earlierImage(wanted: ImageDoc, store: Store): Stored<ImageDoc> | undefined {
  if (wanted.requestId === '') return undefined;
  for (const stored of store.list('image')) {
    const { value } = stored;
    if (value.requestId !== wanted.requestId) continue;
    const same = (['name', 'displayName', 'description', 'format', 'osType', 'fileBytes', 'sha256'] as const).every(
      (key) => value[key] === wanted[key],
    );
    if (same && JSON.stringify(value.defaults ?? {}) === JSON.stringify(wanted.defaults ?? {})) return stored;
    throw new OstlerError(
      'REQUEST_ID_REUSED',
      `request_id: was used before for the image ${value.name} (${value.id}).`,
      {
        field: 'request_id',
        remedy: 'Make a new id for every new request; repeat one only to repeat the same request.',
      },
    );
  }
  return undefined;
}

function readField(image: ImageDoc, key: string): string | undefined {
  switch (key) {
    case 'id':
    case 'name':
    case 'format':
    case 'sha256':
      return image[key];
    case 'state':
      return image.state === 'error' ? 'IMAGE_ERROR' : image.state;
    case 'display_name':
      return image.displayName;
    case 'os_type':
      return image.osType;
    default:
      return undefined;
  }
}
