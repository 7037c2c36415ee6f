import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { ostler as wire } from '../../proto/gen/ostler.js';
import { fill } from './fixtures.js';
import { startFake } from './fake-server.js';
import { ostler, temporaryDirectory } from './harness.js';

const { v1 } = wire;
const qcow2 = Buffer.concat([Buffer.from('QFI\u00fb', 'latin1'), Buffer.alloc(3 * 1024 * 1024, 0x5a)]);
const iso = Buffer.alloc(40_000);
iso.write('CD001', 16 * 2048 + 1);

void t.test('import: format seen, checksum sent, all bytes arrive, a second run is harmless', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const path = join(temporaryDirectory(t), 'Debian.qcow2');
  writeFileSync(path, qcow2);
  const { code, stderr } = await ostler(fake, ['image', 'import', path, '--name', 'debian-12', '--os', 'linux']);
  t.equal(code, 0, stderr);
  t.match(stderr, /checksum debian-12: 100%/);
  t.match(stderr, /upload debian-12: 100%, 3 MiB of 3 MiB/);
  const request = fake.requestOf('createImage') as wire.v1.CreateImageRequest;
  t.equal(request.format, v1.ImageFormat.QCOW2);
  t.equal(request.fileBytes, qcow2.length);
  t.equal(request.sha256, createHash('sha256').update(qcow2).digest('hex'));
  t.ok(fake.images.get('debian-12')?.bytes.equals(qcow2));
  const again = await ostler(fake, ['image', 'import', path, '--name', 'debian-12']);
  t.equal(again.code, 0);
  t.match(again.stderr, /is there already/);
  writeFileSync(path, iso);
  const other = await ostler(fake, ['image', 'import', path, '--name', 'debian-12']);
  t.equal(other.code, 4, 'other contents under a taken name');
  Object.assign(fake.images.get('debian-12')!, { state: v1.ImageState.IMAGE_ERROR, stateReason: 'it is cut short' });
  const broken = await ostler(fake, ['image', 'import', path, '--name', 'debian-12']);
  t.equal(broken.code, 4);
  t.match(broken.stderr, /unusable: it is cut short[^]*ostler image delete debian-12/);
  const named = await ostler(fake, ['image', 'import', path, '-o', 'json']);
  t.match(JSON.parse(named.stdout), { name: 'Debian', format: 'ISO', state: 'READY' });
});

void t.test('a broken upload goes on by itself, and an interrupted one with the next command', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  const path = join(temporaryDirectory(t), 'disk.img');
  writeFileSync(path, qcow2);
  fake.breakUploadAfter = 1_500_000;
  const { code, stderr } = await ostler(fake, ['image', 'import', path]);
  t.equal(code, 0, stderr);
  t.ok(fake.images.get('disk')?.bytes.equals(qcow2), 'every byte once, in order');
  t.equal(fake.requests.filter((one) => one.method === 'uploadImage').length, 2);

  // What a first, interrupted attempt left behind.
  const half = { ...fake.images.get('disk'), state: v1.ImageState.UPLOADING, receivedBytes: 2_000_000 };
  fake.images.set('disk', { ...half, bytes: Buffer.from(qcow2.subarray(0, 2_000_000)) });
  const resumed = await ostler(fake, ['image', 'import', path]);
  t.equal(resumed.code, 0, resumed.stderr);
  t.match(resumed.stderr, /upload disk: (6[4-9]|[7-9]\d|100)%/);
  t.notMatch(resumed.stderr, /upload disk: [0-5]?\d%/, 'it did not start anew');
  t.ok(fake.images.get('disk')?.bytes.equals(qcow2));
});

void t.test('download: resumes, checks the checksum, never leaves a wrong file under the name', async (t) => {
  const fake = await startFake();
  t.teardown(() => fake.close());
  fill(fake);
  const image = fake.images.get('debian-12')!;
  image.sha256 = createHash('sha256').update(image.bytes).digest('hex');
  const path = join(temporaryDirectory(t), 'out.qcow2');
  writeFileSync(`${path}.part`, image.bytes.subarray(0, 1234));
  const { code, stderr } = await ostler(fake, ['image', 'download', 'debian-12', path]);
  t.equal(code, 0, stderr);
  t.ok(readFileSync(path).equals(image.bytes));
  t.equal((fake.requestOf('downloadImage') as wire.v1.DownloadImageRequest).offset, 1234);
  t.notOk(existsSync(`${path}.part`));
  t.equal((await ostler(fake, ['image', 'download', 'debian-12', path])).code, 2, 'an existing file stays');
  const piped = await ostler(fake, ['image', 'download', 'debian-12', '-']);
  t.equal(piped.stdout.length, 3000);
  image.sha256 = '0'.repeat(64);
  const wrong = await ostler(fake, ['image', 'download', 'debian-12', `${path}2`]);
  t.equal(wrong.code, 4);
  t.match(wrong.stderr, /BAD_IMAGE/);
  t.notOk(existsSync(`${path}2`) || existsSync(`${path}2.part`));
});
