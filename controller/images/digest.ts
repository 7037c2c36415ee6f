import { createHash } from 'node:crypto';
import { open } from 'node:fs/promises';

const READ_BYTES = 1024 * 1024;

/** One pass over the file as it is on disk: its SHA-256, its size and its beginning. */
export async function digestFile(
  path: string,
  headerBytes: number,
): Promise<{ readonly sha256: string; readonly size: number; readonly header: Uint8Array }> {
  const file = await open(path, 'r');
  try {
    const hash = createHash('sha256');
    const buffer = Buffer.allocUnsafe(READ_BYTES);
    let header = Buffer.alloc(0);
    let size = 0;
    for (;;) {
      const { bytesRead } = await file.read(buffer, 0, READ_BYTES, size);
      if (bytesRead === 0) break;
      const bytes = buffer.subarray(0, bytesRead);
      hash.update(bytes);
      if (header.length < headerBytes) header = Buffer.concat([header, bytes.subarray(0, headerBytes - header.length)]);
      size += bytesRead;
    }
    return { sha256: hash.digest('hex'), size, header };
  } finally {
    await file.close();
  }
}
