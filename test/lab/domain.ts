import { createHash } from 'node:crypto';
import { copyFile, constants, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { guest } from '../guest/guest.js';
import { run } from '../guest/run.js';
import type { Lab } from './lab.js';
import { until } from './processes.js';

/** A plain libvirt domain for tests of the lab itself; the product makes its own. */
export interface DomainOptions {
  readonly name: string;
  /** Paths as hosts see them. */
  readonly disk?: string;
  /** A CD-ROM on virtio-scsi: a seed, or what to boot from. */
  readonly cdrom?: string;
  readonly boot?: 'disk' | 'cdrom';
  readonly memoryMib?: number;
}

export function domainXml({ name, disk, cdrom, boot = 'disk', memoryMib = 128 }: DomainOptions): string {
  const hash = createHash('md5').update(name).digest('hex');
  const order = (medium: 'disk' | 'cdrom'): string => (medium === boot ? `<boot order='1'/>` : '');
  const disks = [
    disk === undefined
      ? ''
      : `<disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='${disk}'/>
         <target dev='vda' bus='virtio'/>${order('disk')}</disk>`,
    cdrom === undefined
      ? ''
      : `<controller type='scsi' model='virtio-scsi'/><disk type='file' device='cdrom'><driver name='qemu' type='raw'/>
         <source file='${cdrom}'/><target dev='sda' bus='scsi'/><readonly/>${order('cdrom')}</disk>`,
  ];
  // The same on every host: it is the same domain.
  const uuid = [
    hash.slice(0, 8),
    hash.slice(8, 12),
    `4${hash.slice(13, 16)}`,
    `8${hash.slice(17, 20)}`,
    hash.slice(20),
  ];
  return `<domain type='qemu'><name>${name}</name><uuid>${uuid.join('-')}</uuid><memory unit='MiB'>${memoryMib.toString()}</memory><vcpu>1</vcpu>
    <os><type arch='x86_64' machine='q35'>hvm</type></os>
    <features><acpi/><apic/><tcg><tb-cache unit='MiB'>32</tb-cache></tcg></features>
    <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>destroy</on_crash>
    <devices><controller type='usb' model='none'/>${disks.join('')}
      <interface type='bridge'><mac address='${macOf(name)}'/><source bridge='br-vm'/><model type='virtio'/><rom enabled='no'/></interface>
      <serial type='pty'><log file='/var/log/libvirt/qemu/${name}.serial' append='on'/></serial>
      <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
      <graphics type='vnc' socket='/run/${hash.slice(0, 8)}.vnc'/><video><model type='vga'/></video></devices></domain>`;
}

/** The MAC address of a domain's card: made from the name, so that a seed can be written before. */
export function macOf(name: string): string {
  const hash = createHash('md5').update(name).digest('hex');
  return `52:54:00:${hash.slice(0, 2)}:${hash.slice(2, 4)}:${hash.slice(4, 6)}`;
}

/** Copies the test guest's disk to /shared. @returns its path as the hosts see it */
export async function shareDisk(lab: Lab, name: string): Promise<string> {
  await copyFile((await guest()).qcow2, join(lab.shared, name), constants.COPYFILE_FICLONE);
  return `/shared/${name}`;
}

/** Defines a domain on a host. */
export async function define(lab: Lab, host: string, options: DomainOptions): Promise<void> {
  const file = join(lab.shared, `${options.name}.xml`);
  await writeFile(file, domainXml(options));
  await lab.exec(host, ['virsh', '-q', 'define', `/shared/${options.name}.xml`]);
  await rm(file);
}

/** What a domain's serial port has said on a host. */
export function serialLog(lab: Lab, host: string, name: string): Promise<string> {
  return readFile(join(lab.directory, host, 'disk/var/log/libvirt/qemu', `${name}.serial`), 'utf8').catch(() => '');
}

/** Waits for something on the serial port. @returns the match */
export function serial(lab: Lab, host: string, name: string, pattern: RegExp, seconds = 150): Promise<RegExpExecArray> {
  const look = async (): Promise<RegExpExecArray | undefined> =>
    pattern.exec(await serialLog(lab, host, name)) ?? undefined;
  return until(`${name} on ${host} saying ${String(pattern)}`, seconds, look);
}

/** Types a line on the serial console. QEMU looks once a second whether somebody has the terminal open. */
export async function type(lab: Lab, host: string, name: string, line: string): Promise<void> {
  const { stdout } = await lab.exec(host, ['virsh', '-q', 'ttyconsole', name]);
  await lab.exec(host, ['sh', '-c', 'exec 3<>"$2"; sleep 1.2; echo "$1" >&3; sleep 0.2', 'sh', line, stdout.trim()]);
}

/** Waits for a state as virsh names it. */
export async function domainState(lab: Lab, host: string, name: string, state: string, seconds = 60): Promise<void> {
  await until(`${name} on ${host} ${state}`, seconds, async () => {
    const { stdout } = await lab.exec(host, ['virsh', '-q', 'domstate', name]);
    return stdout.trim() === state;
  });
}

/** Makes a NoCloud seed with genisoimage, the judge of seeds made elsewhere. @returns its path as hosts see it */
export async function shareSeed(lab: Lab, name: string, files: Readonly<Record<string, string>>): Promise<string> {
  const directory = await mkdtemp(join(tmpdir(), 'ostler-seed-'));
  try {
    for (const [file, content] of Object.entries(files)) await writeFile(join(directory, file), content);
    const image = join(lab.shared, name);
    await run(['genisoimage', '-quiet', '-V', 'cidata', '-J', '-R', '-o', image, directory]);
  } finally {
    await rm(directory, { recursive: true });
  }
  return `/shared/${name}`;
}
