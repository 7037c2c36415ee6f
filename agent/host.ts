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
}

export interface Progress {
  (percent: number): void;
}

export interface QemuImg {
  /** BAD_IMAGE when it is none. */
  info(path: string): Promise<ImageInfo>;
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
  resize(path: string, format: string, sizeBytes: number): Promise<void>;
  /** Throws STORAGE_ERROR when the image is damaged. */
  check(path: string): Promise<void>;
}

export interface HostFiles {
  exists(path: string): Promise<boolean>;
  read(path: string): Promise<Buffer>;
  /** Temp file, fsync, rename, fsync of the directory. STORAGE_FULL when there is no room. */
  writeAtomic(path: string, data: Buffer | string, mode: number): Promise<void>;
  /** Streams into a temp file; `commit` makes it appear under its name, `abort` removes it. `resumeFrom` bytes are kept. */
  openPartial(path: string): Promise<PartialFile>;
  /** Absent is success. */
  remove(path: string): Promise<void>;
  removeTree(path: string): Promise<void>;
  makeDirectory(path: string, mode: number): Promise<void>;
  list(directory: string): Promise<readonly string[]>;
  size(path: string): Promise<number | undefined>;
  statFs(path: string): Promise<{
    readonly capacityBytes: number;
    readonly availableBytes: number;
    readonly type: string;
    readonly identity: string;
  }>;
}

export interface PartialFile {
  /** Bytes that lie there from an earlier attempt. */
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
