import { crc32, deflateSync } from 'node:zlib';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Picture } from '../hypervisor.js';

/** PPM, which QEMU writes by default, is as large as the screen: a PNG of it fits into one message. */
export function asPng(picture: Picture): Buffer {
  if (picture.data.subarray(0, 8).equals(SIGNATURE)) return picture.data;
  const { width, height, pixels } = parsePpm(picture.data);
  const stride = width * 3;
  const rows = Buffer.alloc((stride + 1) * height);
  // Each row begins with its filter; 0: none.
  for (let row = 0; row < height; row++) pixels.copy(rows, row * (stride + 1) + 1, row * stride, (row + 1) * stride);
  const header = Buffer.alloc(13);
  header.writeUInt32BE(width, 0);
  header.writeUInt32BE(height, 4);
  header.set([8, 2, 0, 0, 0], 8); // 8 bits a colour, RGB
  return Buffer.concat([SIGNATURE, chunk('IHDR', header), chunk('IDAT', deflateSync(rows)), chunk('IEND')]);
}

const SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

function chunk(type: string, data: Buffer = Buffer.alloc(0)): Buffer {
  const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
  const framed = Buffer.alloc(body.length + 8);
  framed.writeUInt32BE(data.length, 0);
  body.copy(framed, 4);
  framed.writeUInt32BE(crc32(body), body.length + 4);
  return framed;
}

/** Binary PPM: `P6`, width, height, 255, one blank, then three bytes a pixel. */
function parsePpm(data: Buffer): { width: number; height: number; pixels: Buffer } {
  const head = /^P6\s+(?:#[^\n]*\n)?(\d{1,5})\s+(\d{1,5})\s+255\s/.exec(data.toString('latin1', 0, 200));
  const [width, height] = [Number(head?.[1] ?? 0), Number(head?.[2] ?? 0)];
  const pixels = data.subarray(head?.[0].length ?? 0);
  if (head !== null && width > 0 && height > 0 && pixels.length >= width * height * 3) return { width, height, pixels };
  throw new OstlerError('HYPERVISOR_ERROR', 'The picture of the screen is in no form that this agent knows.');
}
