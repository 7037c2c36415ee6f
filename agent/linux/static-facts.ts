import { readdir, readFile } from 'node:fs/promises';
import { arch, cpus, hostname, release } from 'node:os';
import { join } from 'node:path';
import si from 'systeminformation';
import type { StaticFacts } from '../host.js';
import { findEmulator } from './kvm-probe.js';
import { run } from './run.js';
import { parseMeminfo } from './sample.js';

/** What does not change while the machine runs; asked once. Anything that cannot be found out is empty, never a guess. */
export async function readStaticFacts(): Promise<StaticFacts> {
  const [os, cpu, meminfo] = await Promise.all([
    si.osInfo().catch(() => undefined),
    si.cpu().catch(() => undefined),
    readFile('/proc/meminfo', 'utf8'),
  ]);
  const brand = cpu === undefined ? '' : `${cpu.manufacturer} ${cpu.brand}`.trim();
  return {
    hostname: hostname(),
    machineId: await firstLine('/etc/machine-id'),
    bootId: await firstLine('/proc/sys/kernel/random/boot_id'),
    os: os === undefined ? '' : `${os.distro} ${os.release}`.trim(),
    kernel: release(),
    arch: arch() === 'x64' ? 'x86_64' : arch() === 'arm64' ? 'aarch64' : arch(),
    cpuModel: cpus()[0]?.model ?? brand,
    cpus: cpus().length,
    memoryBytes: parseMeminfo(meminfo).totalBytes,
    bridges: await listBridges(),
    qemuVersion: await qemuVersion(),
    uefiFirmware: await hasUefi(),
  };
}

export async function listBridges(root = '/sys/class/net'): Promise<string[]> {
  const names = await readdir(root).catch(() => []);
  const bridges: string[] = [];
  for (const name of names) {
    const entries: string[] = await readdir(join(root, name)).catch(() => []);
    if (entries.includes('bridge')) bridges.push(name);
  }
  return bridges.sort();
}

async function qemuVersion(): Promise<string> {
  const emulator = await findEmulator();
  if (emulator === undefined) return '';
  const result = await run(emulator, ['--version'], { timeoutMs: 5_000 }).catch(() => undefined);
  return /version ([0-9.]+)/.exec(result?.stdout ?? '')?.[1] ?? '';
}

/** QEMU's firmware descriptors (docs/interop/firmware.json of QEMU) are what libvirt chooses from, too. */
async function hasUefi(): Promise<boolean> {
  for (const directory of ['/etc/qemu/firmware', '/usr/share/qemu/firmware']) {
    const names = await readdir(directory).catch(() => []);
    for (const name of names) {
      const text = await readFile(join(directory, name), 'utf8').catch(() => '');
      if (/"interface-types"\s*:\s*\[[^\]]*"uefi"/.test(text) && text.includes('"x86_64"')) return true;
    }
  }
  return false;
}

async function firstLine(path: string): Promise<string> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return text.split('\n')[0]?.trim() ?? '';
}
