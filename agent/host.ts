import type { Duplex } from 'node:stream';

/**
 * THE SECOND SEAM: what Linux gives. The real one is agent/linux (files, qemu-img, /proc, systeminformation), the other is
 * agent/fake. Paths are absolute. Writes that return have reached the disk (fsync of the file and of its directory).
 */
export interface ImageInfo {
  readonly format: string;
  readonly virtualSizeBytes: number;
  readonly actualSizeBytes: number;
  /** As written in the file; undefined without one. */
  readonly backingFile: string | undefined;
  readonly backingFormat: string | undefined;
  /** A qcow2 may keep its data in another file; such an image is never safe to take from outside. */
  readonly dataFile: string | undefined;
}

export interface Progress {
  (percent: number): void;
}

export interface QemuImg {
  /** BAD_IMAGE when it is none. */
  info(path: string): Promise<ImageInfo>;
  /** The same of a file that is ours: read from its header where that says it all, without starting a process. */
  glance(path: string): Promise<ImageInfo>;
  /** Makes a new image at `path`, atomically: it is complete or not there. ALREADY_EXISTS is not an error: see `exists`. */
  create(options: {
    path: string;
    format: 'qcow2' | 'raw';
    sizeBytes: number;
    backing?: { path: string; format: string };
  }): Promise<void>;
  /** A full copy, sparse, atomically; cancelled by the signal. */
  convert(
    options: { from: string; fromFormat: string; to: string; toFormat: 'qcow2' | 'raw' },
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void>;
  /** Bytes that a full copy of a qcow2, with what it stands on, would take as a file of its own. */
  measure(path: string): Promise<number>;
  resize(path: string, format: string, sizeBytes: number): Promise<void>;
  /** Writes what a qcow2 holds into the file below it, which grows if it has to. Run again after a crash it ends the same. */
  commit(options: { top: string; base: string }, progress: Progress, signal: AbortSignal): Promise<void>;
  /** Puts a qcow2 on another file (undefined: on none) and copies what would be missing. Run again it ends the same. */
  rebase(
    path: string,
    backing: { path: string; format: string } | undefined,
    progress: Progress,
    signal: AbortSignal,
  ): Promise<void>;
  /** Only writes into a qcow2 that it stands on a file which has the same content as the one before. */
  rename(path: string, backing: { path: string; format: string }): Promise<void>;
  /** Throws STORAGE_ERROR when the image is damaged. */
  check(path: string): Promise<void>;
}

export interface HostFiles {
  exists(path: string): Promise<boolean>;
  read(path: string): Promise<Buffer>;
  /** At most `bytes` of a file's end, and its whole size at that moment. */
  readEnd(path: string, bytes: number): Promise<{ readonly tail: Buffer; readonly size: number }>;
  /** Temp file, fsync, rename, fsync of the directory. STORAGE_FULL when there is no room. */
  writeAtomic(path: string, data: Buffer | string, mode: number): Promise<void>;
  /** Streams into the file `partial`, beside `path`; `commit` makes it appear as `path`, `abort` removes it. */
  openPartial(path: string, partial: string): Promise<PartialFile>;
  /** Within one file system. STORAGE_ERROR when `from` is not there, ALREADY_EXISTS when `to` is. */
  rename(from: string, to: string): Promise<void>;
  /** Absent is success. */
  remove(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  makeDirectory(path: string, mode: number): Promise<void>;
  list(directory: string): Promise<readonly string[]>;
  size(path: string): Promise<number | undefined>;
  statFs(path: string): Promise<FileSystem>;
}

export interface FileSystem {
  readonly capacityBytes: number;
  readonly availableBytes: number;
  /** Linux's name: `ext4`, `nfs4` … */
  readonly type: string;
  /** Equal on all hosts that see the same files: a mark that the first of them leaves in the directory. */
  readonly identity: string;
  /** A file system of the kind that several hosts mount. */
  readonly network: boolean;
  /** Whether files here can be opened with O_DIRECT (tmpfs and some FUSE ones cannot). */
  readonly directIo: boolean;
}

export interface PartialFile {
  /** Where the bytes lie until `commit`. */
  readonly path: string;
  /** Bytes that are there, those of an earlier attempt included. */
  readonly received: number;
  write(chunk: Buffer): Promise<void>;
  /** SHA-256 of everything in it, in lower-case hexadecimal. */
  sha256(): Promise<string>;
  commit(): Promise<void>;
  /** Keeps the bytes for a later resume. */
  close(): Promise<void>;
  abort(): Promise<void>;
}

export interface HostSample {
  /** 0–100 over all CPUs since the last sample. */
  readonly cpuPercent: number;
  readonly memoryUsedBytes: number;
  readonly load1: number;
}

export interface StaticFacts {
  readonly hostname: string;
  readonly machineId: string;
  readonly bootId: string;
  readonly os: string;
  readonly kernel: string;
  readonly arch: string;
  readonly cpuModel: string;
  readonly cpus: number;
  readonly memoryBytes: number;
  readonly bridges: readonly string[];
  readonly qemuVersion: string;
  readonly uefiFirmware: boolean;
}

export interface Host {
  readonly files: HostFiles;
  readonly qemuImg: QemuImg;
  facts(): Promise<StaticFacts>;
  /** Runs a tiny guest with KVM and sees it execute; the reason when it does not. Measured, never guessed from /dev/kvm. */
  probeKvm(): Promise<{ readonly usable: boolean; readonly reason: string }>;
  sample(): Promise<HostSample>;
  connectUnix(path: string): Promise<Duplex>;
}
