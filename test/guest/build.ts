// node dist/test/guest/build.js OUTDIR: puts guest.qcow2 and guest.iso into OUTDIR.
import { constants } from 'node:fs';
import { copyFile, mkdir } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { guest } from './guest.js';

const [directory] = process.argv.slice(2);
if (directory === undefined || directory.startsWith('-')) {
  console.error('Usage: node dist/test/guest/build.js OUTDIR');
  process.exit(2);
}
const { qcow2, iso } = await guest();
await mkdir(directory, { recursive: true });
for (const file of [qcow2, iso]) {
  const target = join(directory, basename(file));
  await copyFile(file, target, constants.COPYFILE_FICLONE);
  console.log(target);
}
