import { basename } from 'node:path';
import type { Command } from 'commander';
import { ostler } from '../../../proto/gen/ostler.js';
import { OstlerError } from '../../../proto/kit/errors.js';
import { EXIT } from '../codes.js';
import { confirmLoss } from '../confirm.js';
import { refuseDryRun, say, type Context } from '../context.js';
import { parseChoice } from '../input/key-values.js';
import { BUSES, choose, FIRMWARES, NIC_MODELS, OS_TYPES, said } from '../input/vm-flags.js';
import { sendMutation } from '../mutate.js';
import { printList, printOne } from '../output/print.js';
import { formatBytes } from '../output/units.js';
import { harmless } from '../output/text.js';
import { allPages } from '../pages.js';
import { examples, type Shell } from '../shell.js';
import { downloadFile, downloadToStdout } from '../transfer/download.js';
import { detectFormat, hashFile, openImageFile } from '../transfer/file.js';
import { createByteProgress } from '../transfer/progress.js';
import { uploadFile } from '../transfer/upload.js';
import { imageView } from './image-view.js';
import { word } from './vm-view.js';

const { v1 } = ostler;
type Image = ostler.v1.Image.$Properties;
const FORMATS = { qcow2: v1.ImageFormat.QCOW2, raw: v1.ImageFormat.RAW, iso: v1.ImageFormat.ISO } as const;

export function addImage(program: Command, shell: Shell): void {
  const image = program.command('image').description('disk images and installer ISOs');
  addReadVerbs(image, shell);
  addImport(image, shell);
  image
    .command('download')
    .description('fetch an image; an earlier attempt is resumed')
    .argument('<name>', 'name or id')
    .argument('[file]', 'where to; - is stdout (default: NAME.FORMAT here)')
    .option('--overwrite', 'replace the file')
    .addHelpText('after', examples('ostler image download debian-12 /tmp/debian-12.qcow2'))
    .action(shell.verb(downloadImage));
  image
    .command('delete')
    .description('delete an image; refused while a VM uses it')
    .argument('<name>', 'name or id')
    .option('--etag <etag>', 'only if nobody changed the image since this etag was read')
    .addHelpText('after', examples('ostler image delete debian-11 --yes'))
    .action(
      shell.verb(async (context: Context, name: string, flags: { readonly etag?: string }) => {
        refuseDryRun(context, 'image delete');
        await confirmLoss(context, `Delete image ${name}?`);
        await context
          .clients()
          .images.deleteImage({ image: name, etag: flags.etag ?? '' }, { signal: context.io.interrupted });
        say(context, `${harmless(name)} is deleted.`);
        return 0;
      }),
    );
}

function addReadVerbs(image: Command, shell: Shell): void {
  image
    .command('list')
    .alias('ls')
    .description('list images')
    .option('--filter <terms>', 'only those for which all terms hold: state=READY name:debian')
    .addHelpText('after', examples('ostler image list', 'ostler image list -o name'))
    .action(
      shell.verb(async (context: Context, flags: { readonly filter?: string }) => {
        const rows = await allPages(undefined, async (page) => {
          const response = await context
            .clients()
            .images.listImages({ ...page, filter: flags.filter ?? '' }, { signal: context.io.interrupted });
          return { rows: response.images, next: response.nextPageToken };
        });
        await printList(context, imageView, rows, 'No images. Add one: ostler image import FILE');
        return 0;
      }),
    );
  image
    .command('show')
    .description('all about one image')
    .argument('<name>', 'name or id')
    .addHelpText('after', examples('ostler image show debian-12'))
    .action(
      shell.verb(async (context: Context, name: string) => {
        await printOne(
          context,
          imageView,
          await context.clients().images.getImage({ image: name }, { signal: context.io.interrupted }),
        );
        return 0;
      }),
    );
}

interface ImportFlags {
  readonly name?: string;
  readonly format?: string;
  readonly os?: string;
  readonly displayName?: string;
  readonly description?: string;
  readonly diskBus?: string;
  readonly nicModel?: string;
  readonly firmware?: string;
}

function addImport(image: Command, shell: Shell): void {
  image
    .command('import')
    .description('upload an image; the same command again resumes a broken upload')
    .argument('<file>', 'qcow2, raw or ISO file')
    .option('--name <name>', "the image's name (default: the file's, without its ending)")
    .option('--format <format>', 'qcow2, raw or iso (default: seen from the file)')
    .option('--os <type>', 'linux, windows or other')
    .option('--disk-bus <bus>', 'of VMs of it that say nothing else: virtio, scsi or sata')
    .option('--nic-model <model>', 'of VMs of it that say nothing else: virtio or e1000e')
    .option('--firmware <kind>', 'of VMs of it that say nothing else: bios or uefi')
    .option('--display-name <text>', 'name for people, in any script')
    .option('--description <text>', 'note for people')
    .addHelpText(
      'after',
      examples(
        'ostler image import debian-12-genericcloud-amd64.qcow2 --name debian-12 --os linux',
        'ostler image import server-2022.iso --os windows',
      ),
    )
    .action(shell.verb(importImage));
}

async function importImage(context: Context, path: string, flags: ImportFlags): Promise<number> {
  refuseDryRun(context, 'image import');
  const name = flags.name ?? basename(path).replace(/\.(?:qcow2|img|raw|iso)$/i, '');
  const wish = await describeFile(context, path, name, flags);
  const existing = await findImage(context, name);
  if (existing !== undefined && isSameFile(existing, wish) && existing.state === v1.ImageState.READY) {
    say(context, `${harmless(name)} is there already, with the same checksum.`);
    return printImported(context, existing);
  }
  const image = existing === undefined ? await createImage(context, wish) : resumable(existing, wish);
  try {
    const ready = await uploadFile(context, path, image);
    say(context, `${harmless(name)} is imported: ${formatBytes(ready.fileBytes ?? 0)}, SHA-256 checked.`);
    return await printImported(context, ready);
  } catch (error) {
    if (!context.io.interrupted.aborted) throw error;
    context.io.stderr.write('Interrupted; what has arrived is kept. The same command goes on from there.\n');
    return EXIT.INTERRUPTED;
  }
}

async function printImported(context: Context, image: Image): Promise<number> {
  if (context.globals.output !== 'table') await printOne(context, imageView, image);
  return 0;
}

async function describeFile(
  context: Context,
  path: string,
  name: string,
  flags: ImportFlags,
): Promise<ostler.v1.CreateImageRequest.$Properties> {
  const { file, bytes } = await openImageFile(path);
  let detected: keyof typeof FORMATS;
  try {
    detected = await detectFormat(file);
  } finally {
    await file.close();
  }
  const keys = Object.keys(FORMATS) as (keyof typeof FORMATS)[];
  const format = flags.format === undefined ? detected : parseChoice(flags.format, '--format', keys);
  const os = parseChoice(flags.os ?? 'linux', '--os', Object.keys(OS_TYPES) as (keyof typeof OS_TYPES)[]);
  const progress = createByteProgress(context, `checksum ${name}`, bytes);
  try {
    const sha256 = await hashFile(path, progress.at, context.io.interrupted);
    return {
      name,
      format: FORMATS[format],
      osType: flags.os === undefined ? v1.OsType.OS_TYPE_UNSPECIFIED : OS_TYPES[os],
      fileBytes: bytes,
      sha256,
      displayName: flags.displayName ?? '',
      description: flags.description ?? '',
      defaults: said({
        diskBus: choose(flags.diskBus, '--disk-bus', BUSES),
        nicModel: choose(flags.nicModel, '--nic-model', NIC_MODELS),
        firmware: choose(flags.firmware, '--firmware', FIRMWARES),
      }),
    };
  } finally {
    progress.end();
  }
}

async function findImage(context: Context, name: string): Promise<Image | undefined> {
  try {
    return await context.clients().images.getImage({ image: name }, { signal: context.io.interrupted });
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'NOT_FOUND') return undefined;
    throw error;
  }
}

function createImage(context: Context, wish: ostler.v1.CreateImageRequest.$Properties): Promise<Image> {
  return sendMutation(context, ({ requestId }) =>
    context.clients().images.createImage({ ...wish, requestId }, { signal: context.io.interrupted }),
  );
}

function isSameFile(image: Image, wish: ostler.v1.CreateImageRequest.$Properties): boolean {
  return image.sha256 === wish.sha256 && image.fileBytes === wish.fileBytes;
}

function resumable(image: Image, wish: ostler.v1.CreateImageRequest.$Properties): Image {
  if (image.state === v1.ImageState.UPLOADING && isSameFile(image, wish)) return image;
  if (image.state === v1.ImageState.IMAGE_ERROR) {
    throw new OstlerError(
      'ALREADY_EXISTS',
      `The image ${image.name ?? ''} is there, unusable: ${image.stateReason ?? ''}`,
      {
        remedy: `Delete it first: ostler image delete ${image.name ?? ''}`,
      },
    );
  }
  throw new OstlerError('ALREADY_EXISTS', `There is an image ${image.name ?? ''} with other contents.`, {
    remedy: 'Take another --name, or delete that image first.',
    field: '--name',
  });
}

async function downloadImage(
  context: Context,
  name: string,
  file: string | undefined,
  flags: { readonly overwrite?: boolean },
): Promise<number> {
  const image = await context.clients().images.getImage({ image: name }, { signal: context.io.interrupted });
  if (file === '-') {
    await downloadToStdout(context, image);
    return 0;
  }
  const format = word(v1.ImageFormat[image.format]) || 'img';
  const path = file ?? `${basename(image.name)}.${format}`;
  await downloadFile(context, image, path, flags.overwrite === true);
  say(context, `${harmless(image.name)} is in ${path}, SHA-256 checked.`);
  return 0;
}
