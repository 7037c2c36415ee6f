import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import fc from 'fast-check';
import t from 'tap';
import { writeIso } from '../../agent/seed/iso9660.js';
import type { IsoFile } from '../../agent/seed/iso9660.js';

/** Judged by isoinfo (cdrkit), which shares no code with us. */
const directory = mkdtempSync(join(tmpdir(), 'ostler-iso-'));
t.teardown(() => rmSync(directory, { recursive: true, force: true }));
const path = join(directory, 'seed.iso');

function isoinfo(...args: readonly string[]): Buffer {
  return execFileSync('isoinfo', ['-i', path, ...args], { maxBuffer: 64 * 1024 * 1024 });
}

function write(files: readonly IsoFile[], volume = 'cidata'): Buffer {
  const image = writeIso(volume, files);
  writeFileSync(path, image);
  return image;
}

const names = (): string[] => isoinfo('-J', '-f').toString('utf8').trim().split('\n');

void t.test('a seed as cloud-init reads it', (t) => {
  const files = [
    { name: 'user-data', content: '#cloud-config\nhostname: 웹서버\n' },
    { name: 'meta-data', content: 'x'.repeat(2048) },
    { name: 'network-config', content: 'y'.repeat(2049) },
    { name: 'empty', content: '' },
  ];
  const image = write(files);
  t.equal(image.length % 2048, 0);
  t.ok(image.length > 0x10000 + 4096, "a probe for btrfs's superblock finds bytes to read");
  const told = isoinfo('-d').toString();
  t.match(told, /CD-ROM is in ISO 9660 format/);
  t.match(told, /^Volume id: cidata$/m);
  t.match(told, /Joliet with UCS level 3 found/);
  t.match(told, new RegExp(`^Volume size is: ${image.length / 2048}$`, 'm'));
  t.same(names().sort(), files.map(({ name }) => `/${name}`).sort());
  for (const { name, content } of files) {
    if (content !== '') t.equal(isoinfo('-J', '-x', `/${name}`).toString('utf8'), content, name);
  }
  t.match(isoinfo('-l').toString(), / F0000000\.;1/, 'the plain tree is sound too');
  t.same(writeIso('cidata', files), image, 'the same files give the same bytes');
  const korean = Buffer.from('설정.txt', 'utf16le').swap16(); // isoinfo prints no Unicode: seen in the bytes
  t.ok(write([{ name: '설정.txt', content: 'x' }]).includes(korean));
  t.end();
});

void t.test('any bytes under any name, and more files than one sector of directory holds', (t) => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.stringMatching(/^[a-z0-9._-]{1,60}$/), { minLength: 1, maxLength: 60 }),
      fc.uint8Array({ maxLength: 5000 }),
      (all, content) => {
        const files = all
          .filter((name) => !/^\.+$/.test(name))
          .map((name, i) => ({ name, content: content.subarray(i) }));
        if (files.length === 0) return;
        write(files, 'CONFIG-2');
        const listing = isoinfo('-J', '-l').toString('utf8');
        for (const { name, content: bytes } of files) {
          const size = new RegExp(` ${bytes.length} Jan {1,2}1 1980 .*\\] {1,2}${name.replace(/\./g, '\\.')} ?$`, 'm');
          t.match(listing, size);
        }
        const last = files.at(-1)!;
        if (last.content.length > 0) t.same(isoinfo('-J', '-x', `/${last.name}`), Buffer.from(last.content));
      },
    ),
    { numRuns: 15 },
  );
  const many = Array.from({ length: 200 }, (_, i) => ({
    name: `${'long-name-'.repeat(5)}${i}`,
    content: `file ${i}\n`,
  }));
  t.ok(200 * (33 + 100) > 10 * 2048, 'a directory of more than ten sectors');
  write(many);
  t.same(names().sort(), many.map(({ name }) => `/${name}`).sort());
  t.equal(isoinfo('-J', '-x', `/${many[199]!.name}`).toString(), 'file 199\n');
  t.end();
});

void t.test('names that Joliet cannot hold are refused', (t) => {
  for (const name of ['', 'a/b', 'a\\b', 'x'.repeat(65), 'a;1', 'a\u0000', 'a*', '..\u0001']) {
    t.throws(() => writeIso('cidata', [{ name, content: '' }]), RangeError, JSON.stringify(name));
  }
  t.throws(
    () =>
      writeIso('cidata', [
        { name: 'a', content: '' },
        { name: 'a', content: 'b' },
      ]),
    /called a/,
  );
  t.throws(() => writeIso('c i', []), RangeError);
  t.end();
});
