import { randomBytes } from 'node:crypto';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import { systemClock } from '../../proto/kit/clock.js';
import { silentLog } from '../../proto/kit/log.js';
import { imageService } from '../../proto/services.js';
import { openLibrary, type ImageLibrary } from '../../controller/images/library.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import { chunksOf, MIB, sha256, startRig } from '../api/rig.js';

const { ImageFormat, ImageState } = ostler.v1;
const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
const images = rig.client(imageService);
const folder = join(rig.directory, 'images');
const bytes = randomBytes(3 * MIB);

function announce(name: string, changes: ostler.v1.CreateImageRequest.$Properties = {}): Promise<ostler.v1.Image> {
  const { length } = bytes;
  return images.createImage({ name, format: ImageFormat.RAW, fileBytes: length, sha256: sha256(bytes), ...changes });
}

async function download(image: string, offset = 0): Promise<Buffer> {
  const parts: Uint8Array[] = [];
  for await (const { chunk } of images.downloadImage({ image, offset })) parts.push(chunk);
  return Buffer.concat(parts);
}

void t.test('an upload that stops goes on where it was, and only there', async (t) => {
  const { id, state } = await announce('parts');
  t.equal(state, ImageState.UPLOADING);
  t.equal((await images.uploadImage(chunksOf(id, bytes.subarray(0, MIB)))).receivedBytes, MIB);
  for (const offset of [0, MIB - 1, MIB + 1, 2 * MIB])
    await t.rejects(images.uploadImage(chunksOf(id, bytes, offset)), {
      code: 'INVALID_FIELD',
      field: 'offset',
      metadata: { received_bytes: String(MIB) },
    });
  // A connection that breaks in the middle: what came in order stays.
  const broken = new AbortController();
  async function* half(): AsyncGenerator<ostler.v1.UploadImageRequest.$Properties> {
    for await (const message of chunksOf('parts', bytes, MIB)) {
      if ((await images.getImage({ image: id })).receivedBytes >= 2 * MIB) {
        broken.abort();
        await new Promise((resolve) => setTimeout(resolve, 50));
        return;
      }
      yield message;
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }
  await t.rejects(images.uploadImage(half(), { signal: broken.signal }), { code: 'CANCELLED' });
  let received = 0;
  for (let tries = 0; tries < 100; tries += 1) {
    ({ receivedBytes: received } = await images.getImage({ image: id }));
    const last = await images.uploadImage(chunksOf(id, bytes, received)).catch((error: unknown) => error);
    // The broken call may still be closing its file.
    if (!/OPERATION_RUNNING|offset/.test(JSON.stringify(last))) break;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  t.ok(received >= 2 * MIB && received < bytes.length, `${received} bytes were there`);
  const done = await images.getImage({ image: 'parts' });
  t.match(done, { state: ImageState.READY, receivedBytes: bytes.length, virtualSizeBytes: bytes.length });
  t.ok((await download(id)).equals(bytes));
  t.ok((await download('parts', MIB + 5)).equals(bytes.subarray(MIB + 5)), 'a download resumes too');
  t.equal((await download(id, bytes.length)).length, 0);
  await t.rejects(download(id, bytes.length + 1), { code: 'INVALID_FIELD', field: 'offset' });
  await t.rejects(images.uploadImage(chunksOf(id, bytes)), { code: 'WRONG_STATE' }, 'what is ready is not written');
});

void t.test('one upload of an image at a time', async (t) => {
  const { id } = await announce('busy');
  let begun: () => void = () => undefined;
  let release: () => void = () => undefined;
  const first = new Promise<void>((resolve) => (begun = resolve));
  const wait = new Promise<void>((resolve) => (release = resolve));
  async function* slow(): AsyncGenerator<ostler.v1.UploadImageRequest.$Properties> {
    yield { image: id, offset: 0 };
    yield { chunk: bytes.subarray(0, MIB) };
    begun();
    await wait;
    for (const at of [1, 2]) yield { chunk: bytes.subarray(at * MIB, (at + 1) * MIB) };
  }
  const slowly = images.uploadImage(slow());
  await first;
  while ((await images.getImage({ image: id })).receivedBytes < MIB)
    await new Promise((resolve) => setTimeout(resolve, 5));
  await t.rejects(images.uploadImage(chunksOf(id, bytes, MIB)), { code: 'OPERATION_RUNNING' });
  release();
  t.equal((await slowly).state, ImageState.READY);
});

void t.test('what does not fit what was announced is refused', async (t) => {
  const { id } = await announce('strict');
  async function* messages(
    ...all: readonly ostler.v1.UploadImageRequest.$Properties[]
  ): AsyncGenerator<ostler.v1.UploadImageRequest.$Properties> {
    await Promise.resolve();
    yield* all;
  }
  const fails = (field: string, ...all: readonly ostler.v1.UploadImageRequest.$Properties[]): Promise<unknown> =>
    t.rejects(images.uploadImage(messages(...all)), { code: 'INVALID_FIELD', field }, `${field} ${all.length}`);
  await fails('image');
  await fails('image', { chunk: bytes });
  await fails('chunk', { image: id }, { chunk: Buffer.alloc(MIB + 1) });
  await fails('image', { image: id }, { image: 'parts', chunk: Buffer.alloc(1) });
  await t.rejects(images.uploadImage(messages({ image: 'nobody' })), { code: 'NOT_FOUND' });
  t.equal((await images.getImage({ image: id })).receivedBytes, 0, 'nothing of it was kept');
  await images.uploadImage(chunksOf(id, bytes.subarray(0, bytes.length - 10)));
  const tail = { image: id, offset: bytes.length - 10, chunk: Buffer.alloc(11) };
  await fails('chunk', tail);
  await t.rejects(images.downloadImage({ image: id, offset: 0 })[Symbol.asyncIterator]().next(), {
    code: 'WRONG_STATE',
  });
});

void t.test('a checksum that is not the announced one: the image is in error, its bytes are gone', async (t) => {
  const { id } = await announce('damaged', { sha256: sha256(Buffer.from('other')) });
  await t.rejects(images.uploadImage(chunksOf(id, bytes)), { code: 'BAD_IMAGE', message: /SHA-256/ });
  t.match(await images.getImage({ image: id }), { state: ImageState.IMAGE_ERROR, stateReason: /SHA-256/ });
  t.same(
    (await readdir(folder)).filter((name) => name.startsWith(id)),
    [],
  );
  await t.rejects(images.uploadImage(chunksOf(id, bytes)), { code: 'WRONG_STATE' });
  await images.deleteImage({ image: id });
  await t.rejects(images.getImage({ image: id }), { code: 'NOT_FOUND' });
});

void t.test('names, sizes and checksums are checked before a byte is taken; request_id; etag', async (t) => {
  const wrong = async (field: string, changes: ostler.v1.CreateImageRequest.$Properties): Promise<void> => {
    await t.rejects(announce('fine', changes), { code: 'INVALID_FIELD', field }, field);
  };
  for (const name of ['', '../x', 'a b', '-a', 'img-0123456789', 'x'.repeat(200)]) await wrong('name', { name });
  await wrong('format', { format: ImageFormat.IMAGE_FORMAT_UNSPECIFIED });
  await wrong('format', { format: 9 as never });
  await wrong('file_bytes', { fileBytes: 0 });
  await wrong('file_bytes', { fileBytes: 2 ** 51 });
  await wrong('sha256', { sha256: 'abc' });
  await wrong('sha256', { sha256: sha256(bytes).toUpperCase() });
  await t.rejects(announce('huge', { fileBytes: 2 ** 49 }), { code: 'STORAGE_FULL', field: 'file_bytes' });
  const first = await announce('once', { requestId: 'r-1' });
  t.equal((await announce('once', { requestId: 'r-1' })).id, first.id);
  await t.rejects(announce('once2', { requestId: 'r-1' }), { code: 'REQUEST_ID_REUSED' });
  await t.rejects(announce('ONCE'), { code: 'ALREADY_EXISTS', field: 'name' });
  await t.rejects(images.deleteImage({ image: 'once', etag: 'stale' }), { code: 'STALE_ETAG', field: 'etag' });
  await images.deleteImage({ image: 'once', etag: first.etag });
  await announce('once');
});

void t.test(
  'after a crash: a half upload goes on, an unchecked file is checked again, a lost record comes back',
  async (t) => {
    const directory = join(rig.directory, 'crashed');
    const store = createMemoryStore();
    const deps = { store, clock: systemClock, log: silentLog };
    const original = rig.deps.store.get('image', (await images.getImage({ image: 'parts' })).id)?.value;
    if (original === undefined) throw new Error('no image');
    const put = (name: string, from: string): Promise<void> =>
      readFile(join(folder, from)).then((content) => writeFile(join(directory, name), content));
    const open = async (): Promise<ImageLibrary> => {
      const library = await openLibrary(directory, deps);
      await library.recover();
      return library;
    };
    let library = await open();
    // Renamed, but the store does not say ready.
    await store.commit([{ kind: 'image', id: original.id, expect: 0, put: { ...original, state: 'uploading' } }]);
    await put(`${original.id}.img`, `${original.id}.img`);
    await put(`${original.id}.json`, `${original.id}.json`);
    await library.close();
    library = await open();
    const again = store.get('image', original.id)?.value ?? original;
    t.equal(await library.receivedBytes(again), bytes.length);
    async function* nothingMore(): AsyncGenerator<{ image: string; offset: number; chunk: Uint8Array }> {
      await Promise.resolve();
      yield { image: original?.id ?? '', offset: bytes.length, chunk: new Uint8Array() };
    }
    await library.upload(nothingMore(), new AbortController().signal);
    t.equal(store.get('image', original.id)?.value.state, 'ready');
    await library.close();
    // A lost store.
    const lost = createMemoryStore();
    const other = await openLibrary(directory, { ...deps, store: lost });
    await other.recover();
    t.same(await other.restore(), [original.id]);
    t.same(lost.get('image', original.id)?.value, original);
    t.same(await other.restore(), [], 'once');
    await other.close();
  },
);
