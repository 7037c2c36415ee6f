import { execFile } from 'node:child_process';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { parseQcow2Header, readQcow2Header } from '../../agent/linux/qcow2-header.js';
import { createQemuImg } from '../../agent/linux/qemu-img.js';

/** What is read from a header is what qemu-img tells; whatever is unusual is left to qemu-img. */
const run = promisify(execFile);
const directory = await mkdtemp('/var/tmp/ostler-header-');
t.teardown(() => rm(directory, { recursive: true, force: true }));
const qemuImg = createQemuImg();
const file = (name: string): string => join(directory, name);
const create = (...args: string[]): Promise<unknown> => run('qemu-img', ['create', '-q', '-f', 'qcow2', ...args]);

void t.test('usual files: the same as qemu-img', async (t) => {
  await create(file('base'), '64M');
  await create('-b', file('base'), '-F', 'qcow2', file('overlay'));
  await create('-b', 'base', '-F', 'qcow2', file('relative'), '96M');
  await create('-o', 'cluster_size=2M,lazy_refcounts=on', file('lazy'), '1G');
  await create('-o', 'compression_type=zlib,preallocation=metadata', file('zlib'), '8M');
  await writeFile(file('raw'), Buffer.alloc(4096));
  await create('-b', file('raw'), '-F', 'raw', file('on-raw'));
  await run('qemu-io', ['-f', 'qcow2', '-c', 'write -q -P 7 0 1M', file('overlay')]);
  for (const name of ['base', 'overlay', 'relative', 'lazy', 'zlib', 'on-raw']) {
    t.ok(await readQcow2Header(file(name)), `${name} is read here`);
    t.same(await qemuImg.glance(file(name)), await qemuImg.info(file(name)), name);
  }
});

void t.test('unusual ones are left to qemu-img', async (t) => {
  await create('-o', 'compat=0.10', file('old'), '8M');
  await create('-o', `data_file=${file('data')}`, file('split'), '8M');
  await create('-o', 'extended_l2=on,cluster_size=128k', file('extended'), '8M');
  await create('-o', 'compression_type=zstd', file('zstd'), '8M');
  await create(
    '-u',
    '-b',
    `json:{"driver":"qcow2","file.filename":"${file('base')}"}`,
    '-F',
    'qcow2',
    file('json'),
    '8M',
  );
  await create('-u', '-b', file('base'), file('guess'), '8M').catch(() => undefined);
  for (const name of ['old', 'split', 'extended', 'zstd', 'json', 'raw']) {
    t.equal(await readQcow2Header(file(name)), undefined, name);
    t.same(await qemuImg.glance(file(name)), await qemuImg.info(file(name)), name);
  }
});

void t.test('no file, no image, rubbish', async (t) => {
  await t.rejects(qemuImg.glance(file('nosuch')), { code: 'BAD_IMAGE' });
  t.equal(parseQcow2Header(Buffer.alloc(0)), undefined);
  t.equal(parseQcow2Header(Buffer.alloc(200, 0xff)), undefined);
});
