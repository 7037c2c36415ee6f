/** One entry of a cpio archive; directories above it are added by {@link cpio}. */
export interface Entry {
  /** Relative, without a leading slash. */
  readonly path: string;
  /** A file's content, or a symbolic link's target. */
  readonly content: Buffer | { readonly link: string };
  /** Permission bits of a file; 0644 when left out. */
  readonly mode?: number;
}

const TRAILER = 'TRAILER!!!';

/** A "newc" cpio archive, the format of the kernel's initramfs (Documentation/driver-api/early-userspace/buffer-format). */
export function cpio(entries: readonly Entry[], directories: readonly string[]): Buffer {
  const parts: Buffer[] = [];
  let inode = 0;
  const add = (path: string, mode: number, content: Buffer): void => {
    parts.push(record(++inode, path, mode, content));
  };
  for (const directory of withParents([...directories, ...entries.map((entry) => parent(entry.path))])) {
    add(directory, 0o040755, Buffer.alloc(0));
  }
  for (const { path, content, mode } of entries) {
    if (Buffer.isBuffer(content)) add(path, 0o100000 | (mode ?? 0o644), content);
    else add(path, 0o120777, Buffer.from(content.link));
  }
  parts.push(record(0, TRAILER, 0, Buffer.alloc(0)));
  return Buffer.concat(parts);
}

function parent(path: string): string {
  return path.split('/').slice(0, -1).join('/');
}

function withParents(paths: readonly string[]): string[] {
  const all = new Set<string>();
  for (const path of paths) {
    const words = path.split('/').filter((word) => word !== '');
    words.forEach((_, index) => all.add(words.slice(0, index + 1).join('/')));
  }
  return [...all].sort();
}

function record(inode: number, path: string, mode: number, content: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`);
  // ino mode uid gid nlink mtime filesize devmajor devminor rdevmajor rdevminor namesize check
  const fields = [inode, mode, 0, 0, 1, 0, content.length, 0, 0, 0, 0, name.length, 0];
  const header = Buffer.from('070701' + fields.map((field) => field.toString(16).padStart(8, '0')).join(''));
  return Buffer.concat([padded(Buffer.concat([header, name])), padded(content)]);
}

function padded(data: Buffer): Buffer {
  return Buffer.concat([data, Buffer.alloc((4 - (data.length % 4)) % 4)]);
}
