import { execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { ostler } from '../../proto/gen/ostler.js';
import type { ImageFormat as FormatName } from '../../proto/model/image.js';
import { imageService, vmService } from '../../proto/services.js';
import { checkImage, HEADER_BYTES } from '../../controller/core/image-format.js';
import { chunksOf, MIB, sha256, startRig } from '../api/rig.js';

const { ImageFormat, ImageState } = ostler.v1;

interface Header {
  readonly version?: number;
  readonly backing?: bigint;
  readonly backingSize?: number;
  readonly clusterBits?: number;
  readonly size?: bigint;
  readonly crypt?: number;
  readonly features?: bigint;
}

/** A qcow2 header by hand (QEMU docs/interop/qcow2.txt), with room for its first clusters. */
function qcow2(header: Header = {}): Buffer {
  const {
    version = 3,
    backing = 0n,
    backingSize = 0,
    clusterBits = 16,
    size = BigInt(MIB),
    crypt = 0,
    features = 0n,
  } = header;
  const file = Buffer.alloc(256 * 1024);
  file.write('QFI\u00fb', 'latin1');
  file.writeUInt32BE(version, 4);
  file.writeBigUInt64BE(backing, 8);
  file.writeUInt32BE(backingSize, 16);
  file.writeUInt32BE(clusterBits, 20);
  file.writeBigUInt64BE(size, 24);
  file.writeUInt32BE(crypt, 32);
  if (version === 3) {
    file.writeBigUInt64BE(features, 72);
    file.writeUInt32BE(104, 100);
  }
  return file;
}

function verdict(format: FormatName, file: Buffer): string {
  const result = checkImage(format, file.subarray(0, HEADER_BYTES), file.length);
  return result.ok ? `ok ${result.virtualSizeBytes}` : result.reason;
}

void t.test('what a header may not say', async (t) => {
  t.equal(verdict('qcow2', qcow2()), `ok ${MIB}`);
  t.equal(verdict('qcow2', qcow2({ version: 2 })), `ok ${MIB}`);
  const refused: readonly (readonly [string, Buffer, RegExp])[] = [
    ['a backing file', qcow2({ backing: 512n, backingSize: 11 }), /backing file/],
    ['a backing file without a length', qcow2({ backing: 512n }), /backing file/],
    ['a length without a backing file', qcow2({ backingSize: 11 }), /backing file/],
    ['an external data file', qcow2({ features: 4n }), /another file/],
    ['dirty', qcow2({ features: 1n }), /not closed cleanly/],
    ['corrupt', qcow2({ features: 2n }), /corrupt/],
    ['unknown features', qcow2({ features: 1n << 40n }), /does not know/],
    ['encrypted', qcow2({ crypt: 2 }), /encrypted/],
    ['version 1', qcow2({ version: 1 }), /version 1/],
    ['version 4', qcow2({ version: 4 }), /version 4/],
    ['clusters of 1 byte', qcow2({ clusterBits: 0 }), /cluster size/],
    ['clusters of 4 GiB', qcow2({ clusterBits: 32 }), /cluster size/],
    ['nothing', qcow2({ size: 0n }), /virtual size/],
    ['16 EiB', qcow2({ size: 2n ** 64n - 512n }), /virtual size/],
    ['half a sector', qcow2({ size: 1000n }), /512/],
    ['wrong magic', Buffer.alloc(MIB), /does not begin/],
    ['a cut header', qcow2().subarray(0, 60), /cut off/],
    ['only the magic', qcow2().subarray(0, 4), /cut off/],
    ['empty', Buffer.alloc(0), /does not begin/],
  ];
  for (const [what, file, reason] of refused) t.match(verdict('qcow2', file), reason, what);
  t.match(verdict('raw', qcow2()), /is a qcow2 file/, 'a qcow2 in disguise: QEMU would look for its backing file');
  t.match(verdict('raw', Buffer.alloc(1000)), /multiple of 512/);
  t.equal(verdict('raw', Buffer.alloc(MIB)), `ok ${MIB}`);
  t.match(verdict('iso', Buffer.alloc(MIB)), /ISO 9660/);
  t.match(verdict('iso', Buffer.alloc(10)), /ISO 9660/);
  await Promise.resolve();
});

void t.test('images of qemu-img itself, good and bad', async (t) => {
  const folder = await mkdtemp('/tmp/ostler-images.');
  t.teardown(() => rm(folder, { recursive: true }));
  const make = async (...args: readonly string[]): Promise<Buffer> => {
    const path = join(folder, 'made.qcow2');
    try {
      execFileSync('qemu-img', ['create', '-q', '-f', 'qcow2', ...args.slice(0, -1), path, args.at(-1) ?? '']);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw error;
      t.bailout('qemu-img is not installed: scripts/prepare --test');
    }
    return readFile(path);
  };
  t.equal(verdict('qcow2', await make('10M')), `ok ${10 * MIB}`);
  t.equal(verdict('qcow2', await make('-o', 'compat=0.10', '10M')), `ok ${10 * MIB}`);
  t.equal(verdict('qcow2', await make('-o', 'cluster_size=512', '10M')), `ok ${10 * MIB}`);
  t.equal(verdict('qcow2', await make('-o', 'extended_l2=on,cluster_size=128k', '10M')), `ok ${10 * MIB}`);
  t.equal(verdict('qcow2', await make('-o', 'compression_type=zstd', '10M')), `ok ${10 * MIB}`);
  t.match(verdict('qcow2', await make('-u', '-b', '/etc/shadow', '-F', 'raw', '10M')), /backing file/);
  const data = join(folder, 'outside.raw');
  t.match(verdict('qcow2', await make('-o', `data_file=${data},data_file_raw=on`, '10M')), /another file/);
});

void t.test('over the API: refused, told, and nothing of it is left to start from', async (t) => {
  const rig = await startRig({ hosts: 1 });
  t.teardown(() => rig.close());
  const images = rig.client(imageService);
  const upload = async (name: string, format: ostler.v1.ImageFormat, file: Buffer): Promise<ostler.v1.Image> => {
    const { id } = await images.createImage({ name, format, fileBytes: file.length, sha256: sha256(file) });
    return images.uploadImage(chunksOf(id, file));
  };
  const evil = qcow2({ backing: 512n, backingSize: 11 });
  evil.write('/etc/shadow', 512);
  await t.rejects(upload('evil', ImageFormat.QCOW2, evil), { code: 'BAD_IMAGE', message: /evil.*backing file/ });
  t.match(await images.getImage({ image: 'evil' }), { state: ImageState.IMAGE_ERROR, stateReason: /backing file/ });
  await t.rejects(upload('disguised', ImageFormat.RAW, qcow2()), { code: 'BAD_IMAGE' });
  await t.rejects(upload('shrunken', ImageFormat.RAW, Buffer.alloc(MIB + 100)), { code: 'BAD_IMAGE', message: /512/ });
  t.equal((await upload('good', ImageFormat.QCOW2, qcow2())).virtualSizeBytes, MIB);
  const spec = { memory: { sizeBytes: 512 * MIB }, disks: [{ image: 'evil' }], nics: [{}] };
  await t.rejects(rig.client(vmService).createVm({ name: 'x', spec }), { code: 'WRONG_STATE', message: /evil/ });
});
