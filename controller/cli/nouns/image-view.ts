import { ostler } from '../../../proto/gen/ostler.js';
import type { View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, bothTimes, relativeTime } from '../output/time.js';
import type { Tone } from '../output/text.js';
import { formatBytes } from '../output/units.js';
import { word } from './vm-view.js';

const { v1 } = ostler;
type Image = ostler.v1.Image.$Properties;

function imageState(image: Image): string {
  const state = word(v1.ImageState[image.state ?? 0]).replace('image-', '');
  if (image.state !== v1.ImageState.UPLOADING || !image.fileBytes) return state;
  return `${state} ${Math.floor(((image.receivedBytes ?? 0) / image.fileBytes) * 100)}%`;
}

function toneOf(image: Image): Tone {
  if (image.state === v1.ImageState.READY) return 'good';
  return image.state === v1.ImageState.IMAGE_ERROR ? 'bad' : 'busy';
}

/** M-031: what VMs of it get where they say nothing else. */
function defaultsOf({ defaults }: Image): string {
  const words = [
    v1.DiskBus[defaults?.diskBus ?? 0],
    v1.NicModel[defaults?.nicModel ?? 0],
    v1.Firmware[defaults?.firmware ?? 0],
  ];
  const [bus, nic, firmware] = words.map(word);
  return [bus && `disk bus ${bus}`, nic && `NIC model ${nic}`, firmware && `firmware ${firmware}`]
    .filter(Boolean)
    .join(', ');
}

export const imageView: View<Image> = {
  columns: [
    { header: 'NAME', cell: (image) => image.name ?? '' },
    { header: 'DISPLAY NAME', cell: (image) => image.displayName ?? '' },
    { header: 'STATE', cell: imageState, tone: toneOf },
    { header: 'FORMAT', cell: (image) => word(v1.ImageFormat[image.format ?? 0]) },
    { header: 'OS', cell: (image) => word(v1.OsType[image.osType ?? 0]) },
    {
      header: 'SIZE',
      cell: (image) => formatBytes(image.fileBytes ?? 0),
      raw: (image) => image.fileBytes ?? 0,
      right: true,
    },
    {
      header: 'VIRTUAL',
      cell: (image) => formatBytes(image.virtualSizeBytes ?? 0),
      raw: (image) => image.virtualSizeBytes ?? 0,
      right: true,
    },
    {
      header: 'CREATED',
      cell: (image, now) => relativeTime(image.createTime, now),
      raw: (image) => absoluteTime(image.createTime),
    },
    { header: 'ID', cell: (image) => image.id ?? '', wide: true },
    { header: 'SHA256', cell: (image) => image.sha256 ?? '', wide: true },
    { header: 'REASON', cell: (image) => image.stateReason ?? '', wide: true },
  ],
  name: (image) => image.name ?? '',
  json: (image) => toPlain(v1.Image, image),
  details: (image, now) => [
    ['Name', image.name ?? ''],
    ['Display name', image.displayName ?? ''],
    ['ID', image.id ?? ''],
    ['State', image.stateReason ? `${imageState(image)}: ${image.stateReason}` : imageState(image)],
    ['Format', word(v1.ImageFormat[image.format ?? 0])],
    ['OS', word(v1.OsType[image.osType ?? 0])],
    ['Defaults', defaultsOf(image)],
    ['File size', formatBytes(image.fileBytes ?? 0)],
    ['Virtual size', formatBytes(image.virtualSizeBytes ?? 0)],
    ['SHA-256', image.sha256 ?? ''],
    ['Description', image.description ?? ''],
    ['Created', bothTimes(image.createTime, now)],
    ['Etag', image.etag ?? ''],
  ],
};
