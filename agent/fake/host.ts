import { createHash } from 'node:crypto';
import { Duplex } from 'node:stream';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Host, HostFiles, PartialFile, QemuImg, StaticFacts } from '../host.js';
import { makeQcow2, readImage, rebaseQcow2, resizeQcow2 } from './qcow2.js';

const GIB = 1024 ** 3;

export interface FakeHostOptions {
  readonly facts?: Partial<StaticFacts>;
  readonly capacityBytes?: number;
  readonly kvm?: boolean;
}

/** Files are buffers by path; directories exist when something is in them. */
export type FakeFiles = Map<string, Buffer>;

export function createFakeHost(options: FakeHostOptions = {}): { readonly host: Host; readonly files: FakeFiles } {
  const files: FakeFiles = new Map();
  const host: Host = {
    files: fakeFiles(files, options.capacityBytes ?? 100 * GIB),
    qemuImg: fakeQemuImg(files),
    facts: () => Promise.resolve({ ...FACTS, ...options.facts }),
    probeKvm: () =>
      Promise.resolve(options.kvm === true ? { usable: true, reason: '' } : { usable: false, reason: 'it is a fake' }),
    sample: () => Promise.resolve({ cpuPercent: 12.5, memoryUsedBytes: GIB, load1: 0.25 }),
    connectUnix: () => Promise.resolve(fakeScreen()),
  };
  return { host, files };
}

const FACTS: StaticFacts = {
  hostname: 'fake',
  machineId: '00000000000000000000000000000fab',
  bootId: '00000000-0000-4000-8000-0000000000b0',
  os: 'Fake Linux 1',
  kernel: '6.1.0-fake',
  arch: 'x86_64',
  cpuModel: 'Fake CPU',
  cpus: 8,
  memoryBytes: 16 * GIB,
  bridges: ['virbr0'],
  qemuVersion: '7.2.0',
  uefiFirmware: true,
};

function required(files: FakeFiles, path: string): Buffer {
  const content = files.get(path);
  if (content === undefined) throw new OstlerError('STORAGE_ERROR', `${path} is not there`);
  return content;
}

function fakeFiles(files: FakeFiles, capacityBytes: number): HostFiles {
  const used = (): number => [...files.values()].reduce((sum, one) => sum + one.length, 0);
  return {
    exists: (path) => Promise.resolve(files.has(path) || [...files.keys()].some((one) => one.startsWith(`${path}/`))),
    read: (path) => Promise.resolve().then(() => required(files, path)),
    readEnd: async (path, bytes) => {
      const whole = required(files, path);
      await Promise.resolve();
      return { tail: whole.subarray(Math.max(0, whole.length - bytes)), size: whole.length };
    },
    writeAtomic: (path, data) => Promise.resolve(void files.set(path, Buffer.from(data))),
    openPartial: (path, partial) => Promise.resolve(fakePartial(files, path, partial)),
    async rename(from, to) {
      if (files.has(to)) throw new OstlerError('ALREADY_EXISTS', `${to} is there already`);
      files.set(to, required(files, from));
      files.delete(from);
      await Promise.resolve();
    },
    remove: (path) => Promise.resolve(void files.delete(path)),
    removeTree(path) {
      for (const one of files.keys()) if (one === path || one.startsWith(`${path}/`)) files.delete(one);
      return Promise.resolve();
    },
    makeDirectory: () => Promise.resolve(),
    list(directory) {
      const inside = [...files.keys()].filter((path) => path.startsWith(`${directory}/`));
      return Promise.resolve([...new Set(inside.map((path) => path.slice(directory.length + 1).split('/')[0] ?? ''))]);
    },
    size: (path) => Promise.resolve(files.get(path)?.length),
    statFs: (path) =>
      Promise.resolve({
        capacityBytes,
        availableBytes: Math.max(0, capacityBytes - used()),
        type: 'ext4',
        identity: `fake:${path}`,
        network: false,
        directIo: true,
      }),
  };
}

function fakePartial(files: FakeFiles, path: string, partial: string): PartialFile {
  let content = files.get(partial) ?? Buffer.alloc(0);
  files.set(partial, content);
  return {
    path: partial,
    get received() {
      return content.length;
    },
    write(chunk) {
      content = Buffer.concat([content, chunk]);
      files.set(partial, content);
      return Promise.resolve();
    },
    sha256: () => Promise.resolve(createHash('sha256').update(content).digest('hex')),
    commit() {
      files.delete(partial);
      files.set(path, content);
      return Promise.resolve();
    },
    close: () => Promise.resolve(),
    abort: () => Promise.resolve(void files.delete(partial)),
  };
}

function fakeQemuImg(files: FakeFiles): QemuImg {
  return {
    glance: (path) => Promise.resolve().then(() => readImage(required(files, path))),
    info: (path) => Promise.resolve().then(() => readImage(required(files, path))),
    create({ path, format, sizeBytes, backing }) {
      if (backing !== undefined) required(files, backing.path);
      files.set(path, format === 'qcow2' ? makeQcow2(sizeBytes, backing) : Buffer.alloc(0));
      return Promise.resolve();
    },
    async convert({ from, to }, progress, signal) {
      for (const percent of [25, 50, 75]) {
        signal.throwIfAborted();
        progress(percent);
        await Promise.resolve();
      }
      files.set(to, makeQcow2(readImage(required(files, from)).virtualSizeBytes));
      progress(100);
    },
    measure: (path) => Promise.resolve().then(() => required(files, path).length),
    resize(path, _format, sizeBytes) {
      files.set(path, resizeQcow2(required(files, path), sizeBytes));
      return Promise.resolve();
    },
    commit({ top, base }) {
      required(files, top);
      required(files, base);
      return Promise.resolve();
    },
    rebase: (path, backing) =>
      Promise.resolve().then(() => void files.set(path, rebaseQcow2(required(files, path), backing))),
    rename: (path, backing) =>
      Promise.resolve().then(() => void files.set(path, rebaseQcow2(required(files, path), backing))),
    check: (path) => Promise.resolve().then(() => void required(files, path)),
  };
}

/** Says what a VNC server says first, and repeats what it hears. */
function fakeScreen(): Duplex {
  const stream = new Duplex({
    read: () => undefined,
    write: (chunk: Buffer, _encoding, done) => {
      stream.push(chunk);
      done();
    },
  });
  stream.push('RFB 003.008\n');
  return stream;
}
