import type { Element } from '@xmldom/xmldom';
import { parseXml } from './document.js';
import { attribute, children, find, require, textOf } from './element.js';
import { readMetadata } from './metadata.js';
import type { VmMetadata } from './metadata.js';
import { bytesOf } from './units.js';
import { XmlError } from './xml-error.js';

export interface DomainDisk {
  readonly dev: string;
  readonly bus: string;
  readonly device: string;
  /** Path, device node or name of the volume; undefined: an empty drive. */
  readonly source: string | undefined;
  readonly sourceType: string;
  readonly format: string | undefined;
  /** Only of a running domain. */
  readonly alias: string | undefined;
  readonly serial: string | undefined;
  readonly readonly: boolean;
  readonly address: { readonly controller: number; readonly target: number; readonly unit: number } | undefined;
}

export interface DomainNic {
  readonly mac: string;
  readonly type: string;
  /** Bridge, network or device it is plugged into. */
  readonly source: string | undefined;
  readonly model: string | undefined;
  /** The tap on the host (`vnet3`); only of a running domain. */
  readonly device: string | undefined;
  readonly alias: string | undefined;
  readonly mtu: number | undefined;
}

export interface DomainData {
  readonly uuid: string;
  readonly name: string;
  readonly virtType: string;
  readonly title: string | undefined;
  readonly description: string | undefined;
  readonly machine: string | undefined;
  readonly emulator: string | undefined;
  readonly memoryBytes: number;
  /** Only with room for memory hotplug. */
  readonly maxMemoryBytes: number | undefined;
  readonly vcpus: number;
  readonly maxVcpus: number;
  readonly disks: readonly DomainDisk[];
  readonly nics: readonly DomainNic[];
  readonly serialLogPath: string | undefined;
  /** The pseudo terminal of the serial console; only of a running domain. */
  readonly serialPath: string | undefined;
  readonly vncSocketPath: string | undefined;
  /** `unknown`: the domain does not run. */
  readonly guestAgent: 'connected' | 'disconnected' | 'unknown' | 'absent';
  /** Undefined: the domain is not one of ours. */
  readonly metadata: VmMetadata | undefined;
}

/** What we need of a domain, ours or somebody else's. Throws XmlError (malformed, missing …). */
export function readDomain(xml: string): DomainData {
  const { root } = parseXml(xml);
  if (root.localName !== 'domain') throw new XmlError('missing', `The XML is a <${root.nodeName}>, not a <domain>.`);
  const devices = find(root, 'devices');
  const maxMemory = find(root, 'maxMemory');
  const vcpu = find(root, 'vcpu');
  const maxVcpus = vcpu === undefined ? 1 : wholeNumber(textOf(vcpu), 'vcpu');
  return {
    uuid: (textOf(require(root, 'uuid')) ?? '').trim(),
    name: textOf(require(root, 'name')) ?? '',
    virtType: attribute(root, 'type') ?? '',
    title: textOf(find(root, 'title')),
    description: textOf(find(root, 'description')),
    machine: attribute(find(root, 'os', 'type'), 'machine'),
    emulator: devices === undefined ? undefined : textOf(find(devices, 'emulator')),
    memoryBytes: bytesOf(require(root, 'memory')),
    maxMemoryBytes: maxMemory === undefined ? undefined : bytesOf(maxMemory),
    vcpus: optionalNumber(attribute(vcpu, 'current'), 'vcpu current') ?? maxVcpus,
    maxVcpus,
    disks: devices === undefined ? [] : children(devices, 'disk').map(readDisk),
    nics: devices === undefined ? [] : children(devices, 'interface').map(readNic),
    ...readConsoles(devices),
    metadata: readMetadata(root),
  };
}

function wholeNumber(text: string | undefined, what: string): number {
  const trimmed = (text ?? '').trim();
  if (!/^[0-9]{1,15}$/.test(trimmed)) throw new XmlError('malformed', `${what} is no number: ${trimmed.slice(0, 40)}`);
  return Number(trimmed);
}

function optionalNumber(text: string | undefined, what: string): number | undefined {
  return text === undefined ? undefined : wholeNumber(text, what);
}

function readDisk(disk: Element): DomainDisk {
  const source = find(disk, 'source');
  const target = find(disk, 'target');
  return {
    dev: attribute(target, 'dev') ?? '',
    bus: attribute(target, 'bus') ?? '',
    device: attribute(disk, 'device') ?? 'disk',
    source: sourceOf(source),
    sourceType: attribute(disk, 'type') ?? 'file',
    format: attribute(find(disk, 'driver'), 'type'),
    alias: attribute(find(disk, 'alias'), 'name'),
    serial: textOf(find(disk, 'serial')),
    readonly: find(disk, 'readonly') !== undefined,
    address: readDriveAddress(find(disk, 'address')),
  };
}

/** The attribute that names a disk's source depends on the type: file, block device, directory, network or pool volume. */
function sourceOf(source: Element | undefined): string | undefined {
  const volume = attribute(source, 'volume');
  if (volume !== undefined) return `${attribute(source, 'pool') ?? ''}/${volume}`;
  for (const name of ['file', 'dev', 'dir', 'name']) {
    const value = attribute(source, name);
    if (value !== undefined) return value;
  }
  return undefined;
}

function readDriveAddress(address: Element | undefined): DomainDisk['address'] {
  if (attribute(address, 'type') !== 'drive') return undefined;
  const number = (name: string): number => optionalNumber(attribute(address, name), `address ${name}`) ?? 0;
  return { controller: number('controller'), target: number('target'), unit: number('unit') };
}

function readNic(nic: Element): DomainNic {
  const source = find(nic, 'source');
  return {
    mac: (attribute(find(nic, 'mac'), 'address') ?? '').toLowerCase(),
    type: attribute(nic, 'type') ?? '',
    source: attribute(source, 'bridge') ?? attribute(source, 'network') ?? attribute(source, 'dev'),
    model: attribute(find(nic, 'model'), 'type'),
    device: attribute(find(nic, 'target'), 'dev'),
    alias: attribute(find(nic, 'alias'), 'name'),
    mtu: optionalNumber(attribute(find(nic, 'mtu'), 'size'), 'mtu'),
  };
}

type Consoles = Pick<DomainData, 'serialLogPath' | 'serialPath' | 'vncSocketPath' | 'guestAgent'>;

function readConsoles(devices: Element | undefined): Consoles {
  if (devices === undefined) {
    return { serialLogPath: undefined, serialPath: undefined, vncSocketPath: undefined, guestAgent: 'absent' };
  }
  const serial = find(devices, 'serial');
  const vnc = children(devices, 'graphics').find((one) => attribute(one, 'type') === 'vnc');
  return {
    serialLogPath: serial === undefined ? undefined : attribute(find(serial, 'log'), 'file'),
    serialPath: serial === undefined ? undefined : attribute(find(serial, 'source'), 'path'),
    vncSocketPath: vnc === undefined ? undefined : vncSocket(vnc),
    guestAgent: readGuestAgent(devices),
  };
}

function vncSocket(vnc: Element): string | undefined {
  const listen = children(vnc, 'listen').find((one) => attribute(one, 'type') === 'socket');
  return attribute(listen, 'socket') ?? attribute(vnc, 'socket');
}

function readGuestAgent(devices: Element): DomainData['guestAgent'] {
  for (const channel of children(devices, 'channel')) {
    const target = find(channel, 'target');
    if (attribute(target, 'name') !== 'org.qemu.guest_agent.0') continue;
    const state = attribute(target, 'state');
    return state === undefined ? 'unknown' : state === 'connected' ? 'connected' : 'disconnected';
  }
  return 'absent';
}
