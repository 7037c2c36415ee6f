import { access, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { OstlerError } from '../../proto/kit/errors.js';
import { EXPECTED_EXIT, probeFirmware } from './probe-firmware.js';
import { run } from './run.js';

const TIMEOUT_MS = 3_000;
/**
 * Whether guests really run with this accelerator: the exit status of a test guest proves that its instructions were
 * executed. /dev/kvm may exist and open, and still no guest runs: nested virtualisation without support, a container
 * without the capability, a KVM that only interprets.
 */
export async function probeAccelerator(
  accelerator: 'kvm' | 'tcg',
  emulators: readonly string[] = EMULATORS,
): Promise<{ readonly usable: boolean; readonly reason: string }> {
  const no = (reason: string): { usable: boolean; reason: string } => ({ usable: false, reason });
  if (accelerator === 'kvm' && !(await exists('/dev/kvm'))) return no('/dev/kvm does not exist');
  const emulator = await findEmulator(emulators);
  if (emulator === undefined) return no('QEMU is not installed');
  const directory = await mkdtemp(join(tmpdir(), 'ostler-probe-'));
  try {
    const rom = join(directory, 'probe.rom');
    await writeFile(rom, probeFirmware());
    const { code, stderr } = await run(emulator, probeArguments(accelerator, rom), { timeoutMs: TIMEOUT_MS });
    if (code === EXPECTED_EXIT) return { usable: true, reason: '' };
    return no(`a test guest did not run: ${reasonOf(stderr, code)}`);
  } catch (error) {
    if (error instanceof OstlerError && error.code === 'TIMEOUT')
      return no(`a test guest did not get through within ${TIMEOUT_MS / 1000} s${said(error.metadata['stderr'])}`);
    return no(`a test guest could not be started: ${(error as Error).message}`);
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

export const EMULATORS: readonly string[] = [
  '/usr/bin/qemu-system-x86_64',
  '/usr/libexec/qemu-kvm',
  '/usr/bin/qemu-kvm',
];

export async function findEmulator(candidates: readonly string[] = EMULATORS): Promise<string | undefined> {
  for (const path of candidates) if (await exists(path)) return path;
  return undefined;
}

function probeArguments(accelerator: 'kvm' | 'tcg', rom: string): string[] {
  return [
    ...['-machine', 'pc', '-accel', accelerator, '-cpu', accelerator === 'kvm' ? 'host' : 'qemu64', '-m', '4'],
    ...['-nodefaults', '-no-user-config', '-display', 'none', '-no-reboot', '-bios', rom],
    ...['-device', 'isa-debug-exit,iobase=0xf4,iosize=0x01'],
  ];
}

function said(stderr = ''): string {
  return stderr === '' ? '' : ` (${stderr})`;
}

function reasonOf(stderr: string, code: number): string {
  const line = stderr
    .split('\n')
    .map((one) => one.trim())
    .find((one) => one !== '');
  return line === undefined ? `QEMU ended with status ${code}` : line.slice(0, 200);
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
