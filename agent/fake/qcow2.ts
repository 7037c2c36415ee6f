import type { ImageInfo } from '../host.js';

/** Headers only, as the format's specification has them (QEMU, docs/interop/qcow2.txt): enough to tell images apart. */
const MAGIC = 0x514649fb;
const HEADER_BYTES = 104;

export function makeQcow2(sizeBytes: number, backing?: { readonly path: string; readonly format: string }): Buffer {
  const name = Buffer.from(backing?.path ?? '');
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt32BE(MAGIC, 0);
  header.writeUInt32BE(3, 4);
  header.writeBigUInt64BE(BigInt(name.length === 0 ? 0 : HEADER_BYTES), 8);
  header.writeUInt32BE(name.length, 16);
  header.writeUInt32BE(16, 20);
  header.writeBigUInt64BE(BigInt(sizeBytes), 24);
  return Buffer.concat([header, name]);
}

export function readImage(content: Buffer): ImageInfo {
  const base = { actualSizeBytes: content.length, backingFormat: undefined, dataFile: undefined };
  if (content.length < HEADER_BYTES || content.readUInt32BE(0) !== MAGIC)
    return { ...base, format: 'raw', virtualSizeBytes: content.length, backingFile: undefined };
  const at = Number(content.readBigUInt64BE(8));
  const backingFile = at === 0 ? undefined : content.toString('utf8', at, at + content.readUInt32BE(16));
  return { ...base, format: 'qcow2', virtualSizeBytes: Number(content.readBigUInt64BE(24)), backingFile };
}

export function resizeQcow2(content: Buffer, sizeBytes: number): Buffer {
  const copy = Buffer.from(content);
  copy.writeBigUInt64BE(BigInt(sizeBytes), 24);
  return copy;
}

export function rebaseQcow2(
  content: Buffer,
  backing: { readonly path: string; readonly format: string } | undefined,
): Buffer {
  return makeQcow2(readImage(content).virtualSizeBytes, backing);
}
