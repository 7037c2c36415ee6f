import type { Element } from '@xmldom/xmldom';
import type { DiskFacts, DomainFacts, MemoryFacts, NicFacts } from '../core/domain-facts.js';
import type { DiskLimits } from '../../proto/model/vm.js';
import { parseXml } from './document.js';
import { attribute, childElements, children, find, require, textOf } from './element.js';
import { readDomain } from './read-domain.js';
import { bytesOf } from './units.js';
import { XmlError } from './xml-error.js';

/** What a change of the domain needs to know of it. Throws XmlError (malformed, missing …). */
export function readFacts(xml: string): DomainFacts {
  const { root } = parseXml(xml);
  const domain = readDomain(xml);
  const devices = require(root, 'devices');
  const memory = children(devices, 'memory').map(readMemory);
  const diskElements = children(devices, 'disk');
  const disks = domain.disks.map((disk, index): DiskFacts => {
    const { serial = '', dev, bus, device, source, alias = '', address } = disk;
    const limits = readLimits(diskElements[index]);
    return { serial, dev, bus, device, path: source, alias, address, limits };
  });
  const nics = domain.nics.map(({ mac, alias = '', device = '' }): NicFacts => ({ mac, alias, tap: device }));
  return {
    vcpus: domain.vcpus,
    maxVcpus: domain.maxVcpus,
    bootMemoryBytes: bootMemory(root, domain.memoryBytes, memory),
    maxMemoryBytes: domain.maxMemoryBytes,
    memory,
    disks,
    nics,
    bootOrder: readBootOrder(devices),
    freePorts: freePorts(devices),
    hasScsi: children(devices, 'controller').some((one) => attribute(one, 'type') === 'scsi'),
  };
}

/** Of a running domain `<memory>` counts plugged devices, too; its NUMA cell does not. */
function bootMemory(domain: Element, total: number, plugged: readonly MemoryFacts[]): number {
  const numa = find(domain, 'cpu', 'numa');
  const cells = numa === undefined ? [] : children(numa, 'cell');
  const inCells = cells.reduce((sum, cell) => sum + cellBytes(cell), 0);
  return inCells > 0 ? inCells : plugged.reduce((rest, one) => rest - one.sizeBytes, total);
}

function cellBytes(cell: Element): number {
  const unit = attribute(cell, 'unit') ?? 'KiB';
  const memory = attribute(cell, 'memory') ?? '';
  const factor = { b: 1, bytes: 1, KiB: 1024, k: 1024, MiB: 1024 ** 2, M: 1024 ** 2, GiB: 1024 ** 3, G: 1024 ** 3 }[
    unit
  ];
  if (factor === undefined || !/^[0-9]{1,15}$/.test(memory))
    throw new XmlError('malformed', `A NUMA cell has no amount of memory: ${memory.slice(0, 40)} ${unit}`);
  return Number(memory) * factor;
}

function readMemory(memory: Element): MemoryFacts {
  const target = require(memory, 'target');
  const sizeBytes = bytesOf(require(target, 'size'));
  const optional = (name: string, otherwise: number): number => {
    const element = find(target, name);
    return element === undefined ? otherwise : bytesOf(element);
  };
  const requestedBytes = optional('requested', sizeBytes);
  return {
    model: attribute(memory, 'model') ?? '',
    alias: attribute(find(memory, 'alias'), 'name') ?? '',
    sizeBytes,
    requestedBytes,
    currentBytes: optional('current', requestedBytes),
    blockBytes: optional('block', 0),
  };
}

const LIMITS: Readonly<Record<keyof DiskLimits, string>> = {
  readBytesPerSecond: 'read_bytes_sec',
  writeBytesPerSecond: 'write_bytes_sec',
  readIops: 'read_iops_sec',
  writeIops: 'write_iops_sec',
};

function readLimits(disk: Element | undefined): DiskLimits {
  const tune = disk === undefined ? undefined : find(disk, 'iotune');
  const read = (name: string): number => {
    const text = tune === undefined ? undefined : textOf(find(tune, name));
    return text === undefined ? 0 : Number(text);
  };
  return {
    readBytesPerSecond: read(LIMITS.readBytesPerSecond),
    writeBytesPerSecond: read(LIMITS.writeBytesPerSecond),
    readIops: read(LIMITS.readIops),
    writeIops: read(LIMITS.writeIops),
  };
}

function readBootOrder(devices: Element): string[] {
  const ordered: { readonly key: string; readonly order: number }[] = [];
  for (const device of childElements(devices)) {
    const order = Number(attribute(find(device, 'boot'), 'order') ?? 'NaN');
    if (Number.isNaN(order)) continue;
    const mac = attribute(find(device, 'mac'), 'address')?.toLowerCase();
    ordered.push({ key: mac ?? textOf(find(device, 'serial')) ?? '', order });
  }
  return ordered.sort((a, b) => a.order - b.order).map(({ key }) => key);
}

/** Root ports on whose bus no device sits. */
function freePorts(devices: Element): number {
  const used = new Set<number>();
  const walk = (element: Element): void => {
    for (const child of childElements(element)) {
      const address = find(child, 'address');
      if (attribute(address, 'type') === 'pci') used.add(Number(attribute(address, 'bus') ?? '0'));
    }
  };
  walk(devices);
  const ports = children(devices, 'controller').filter((one) => attribute(one, 'model') === 'pcie-root-port');
  return ports.filter((port) => !used.has(Number(attribute(port, 'index')))).length;
}
