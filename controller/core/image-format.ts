import type { ImageFormat } from '../../proto/model/image.js';

/** Bytes of a file's beginning that the check wants; a shorter file gives all it has. */
export const HEADER_BYTES = 64 * 1024;

export type ImageVerdict =
  { readonly ok: true; readonly virtualSizeBytes: number } | { readonly ok: false; readonly reason: string };

const SECTOR = 512;
const MAXIMUM_BYTES = 2 ** 50;

/**
 * Whether the file is what it was announced to be, by its own header. Nothing is opened by QEMU before: a qcow2 file can name
 * other files of the host (backing file, external data file), and those would be read with QEMU's rights.
 */
export function checkImage(format: ImageFormat, header: Uint8Array, fileBytes: number): ImageVerdict {
  switch (format) {
    case 'qcow2':
      return checkQcow2(header, fileBytes);
    case 'iso':
      return checkIso(header, fileBytes);
    case 'raw':
      return checkRaw(header, fileBytes);
  }
}

const refused = (reason: string): ImageVerdict => ({ ok: false, reason });

function isQcow(header: Uint8Array): boolean {
  return header[0] === 0x51 && header[1] === 0x46 && header[2] === 0x49 && header[3] === 0xfb; // "QFI\xfb"
}

/** Incompatible feature bits of the header's version 3 (QEMU docs/interop/qcow2.txt). */
const FEATURE = { dirty: 1n, corrupt: 2n, externalData: 4n, compression: 8n, extendedL2: 16n };
const KNOWN_FEATURES =
  FEATURE.dirty | FEATURE.corrupt | FEATURE.externalData | FEATURE.compression | FEATURE.extendedL2;

function checkQcow2(header: Uint8Array, fileBytes: number): ImageVerdict {
  if (!isQcow(header)) return refused('it does not begin like a qcow2 file');
  if (header.length < 104 && header.length < fileBytes) return refused('its header is cut off');
  if (header.length < 72) return refused('its header is cut off');
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const version = view.getUint32(4);
  if (version !== 2 && version !== 3) return refused(`its qcow2 version ${version} is neither 2 nor 3`);
  if (view.getBigUint64(8) !== 0n || view.getUint32(16) !== 0)
    return refused('it has a backing file; flatten it first: qemu-img convert -O qcow2 IN OUT');
  const clusterBits = view.getUint32(20);
  if (clusterBits < 9 || clusterBits > 21) return refused(`its cluster size 2^${clusterBits} is out of range`);
  if (view.getUint32(32) !== 0) return refused('it is encrypted');
  const size = view.getBigUint64(24);
  if (size === 0n || size > BigInt(MAXIMUM_BYTES)) return refused(`its virtual size ${size} is out of range`);
  if (size % BigInt(SECTOR) !== 0n) return refused(`its virtual size ${size} is not a multiple of 512 bytes`);
  const features = version === 3 && header.length >= 80 ? view.getBigUint64(72) : 0n;
  if ((features & FEATURE.externalData) !== 0n) return refused('it keeps its data in another file');
  if ((features & FEATURE.corrupt) !== 0n)
    return refused('it is marked as corrupt; repair it first: qemu-img check -r all');
  if ((features & FEATURE.dirty) !== 0n)
    return refused('it was not closed cleanly; repair it first: qemu-img check -r all');
  if ((features & ~KNOWN_FEATURES) !== 0n) return refused('it uses features that this version does not know');
  return { ok: true, virtualSizeBytes: Number(size) };
}

/** ECMA-119: volume descriptors begin at sector 16 of 2,048 bytes, each with "CD001" behind its type byte. */
const ISO_DESCRIPTOR = 16 * 2048;
const ISO_MAGIC = 'CD001';

function checkIso(header: Uint8Array, fileBytes: number): ImageVerdict {
  for (let index = 0; index < ISO_MAGIC.length; index += 1) {
    if (header[ISO_DESCRIPTOR + 1 + index] !== ISO_MAGIC.charCodeAt(index))
      return refused('it has no ISO 9660 volume descriptor');
  }
  return { ok: true, virtualSizeBytes: fileBytes };
}

function checkRaw(header: Uint8Array, fileBytes: number): ImageVerdict {
  if (isQcow(header)) return refused('it is a qcow2 file, not a raw disk; create the image with the format qcow2');
  if (fileBytes === 0 || fileBytes % SECTOR !== 0)
    return refused(`its size of ${fileBytes} bytes is not a multiple of 512: the end is missing`);
  return { ok: true, virtualSizeBytes: fileBytes };
}
