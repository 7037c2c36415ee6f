import type { Element } from '@xmldom/xmldom';
import { diskTargets, SATA_PORTS } from '../core/disk-target.js';
import type { VmRecord, VmSpec } from '../../proto/model/vm.js';
import { addDisk, addSeed, requireAbsolute } from './build-disk.js';
import { addNic } from './build-nic.js';
import type { BuildOptions } from './build-domain.js';
import { add } from './element.js';

/** Free PCIe ports for devices plugged while the VM runs; libvirt itself keeps none. */
export const SPARE_PCIE_PORTS = 6;

/** Position in the boot order, from 1; an empty order means disks as listed, then NICs. */
export function bootOrders(spec: VmSpec): ReadonlyMap<string, number> {
  const names = spec.bootOrder.length > 0 ? spec.bootOrder : [...spec.disks, ...spec.nics].map((one) => one.name);
  return new Map(names.map((name, index) => [name, index + 1]));
}

/**
 * Devices that take a PCIe port each: virtio disks, NICs, SCSI, USB, serial, balloon, random numbers, and every SATA
 * controller but the chipset's own.
 */
function pcieDevices(spec: VmSpec, hasSeed: boolean): number {
  const virtioDisks = spec.disks.filter((disk) => disk.bus === 'virtio').length;
  const moreSata = Math.max(0, sataControllers(spec) - 1);
  return virtioDisks + spec.nics.length + (needsScsi(spec, hasSeed) ? 1 : 0) + moreSata + 4;
}

function sataControllers(spec: VmSpec): number {
  return Math.ceil(spec.disks.filter((disk) => disk.bus === 'sata').length / SATA_PORTS);
}

function needsScsi(spec: VmSpec, hasSeed: boolean): boolean {
  return hasSeed || spec.disks.some((disk) => disk.bus === 'scsi');
}

function addControllers(devices: Element, spec: VmSpec, hasSeed: boolean): void {
  add(devices, 'controller', { type: 'pci', index: 0, model: 'pcie-root' });
  for (let index = 1; index <= pcieDevices(spec, hasSeed) + SPARE_PCIE_PORTS; index++) {
    add(devices, 'controller', { type: 'pci', index, model: 'pcie-root-port' });
  }
  add(devices, 'controller', { type: 'usb', index: 0, model: 'qemu-xhci' });
  add(devices, 'controller', { type: 'virtio-serial', index: 0 });
  if (needsScsi(spec, hasSeed)) add(devices, 'controller', { type: 'scsi', index: 0, model: 'virtio-scsi' });
  for (let index = 0; index < sataControllers(spec); index++) add(devices, 'controller', { type: 'sata', index });
}

/** The console's log keeps what the guest says while nobody listens; virtlogd rotates it. */
function addConsoles(devices: Element, options: BuildOptions): void {
  requireAbsolute(options.serialLogPath, 'the serial log');
  const serial = add(devices, 'serial', { type: 'pty' });
  add(serial, 'log', { file: options.serialLogPath, append: 'on' });
  add(add(serial, 'target', { type: 'isa-serial', port: 0 }), 'model', { name: 'isa-serial' });
  const console = add(devices, 'console', { type: 'pty' });
  add(console, 'target', { type: 'serial', port: 0 });
  const channel = add(devices, 'channel', { type: 'unix' });
  add(channel, 'target', { type: 'virtio', name: 'org.qemu.guest_agent.0' });
}

/** A Unix socket and nothing else: no VM opens a TCP port on its host. */
function addScreen(devices: Element, options: BuildOptions): void {
  add(devices, 'input', { type: 'tablet', bus: 'usb' });
  add(devices, 'input', { type: 'keyboard', bus: 'usb' });
  const graphics = add(devices, 'graphics', { type: 'vnc' });
  if (options.vncSocketPath !== undefined) requireAbsolute(options.vncSocketPath, 'the VNC socket');
  add(graphics, 'listen', { type: 'socket', socket: options.vncSocketPath });
  add(add(devices, 'video'), 'model', { type: 'vga', vram: 16384 });
}

export function addDevices(domain: Element, record: VmRecord, options: BuildOptions): void {
  const { spec } = record;
  const devices = add(domain, 'devices');
  if (options.emulator !== undefined) add(devices, 'emulator', {}, options.emulator);
  const orders = bootOrders(spec);
  const targets = diskTargets(spec.disks);
  for (const disk of spec.disks) {
    const target = targets.get(disk.name);
    if (target === undefined) continue;
    const place = { target, bootOrder: orders.get(disk.name), cache: options.diskCache ?? 'none' };
    addDisk(devices, disk, options.disks.get(disk.name), place);
  }
  if (options.seedPath !== undefined) addSeed(devices, options.seedPath);
  addControllers(devices, spec, options.seedPath !== undefined);
  for (const nic of spec.nics) {
    addNic(devices, nic, { defaultBridge: options.defaultBridge, bootOrder: orders.get(nic.name) });
  }
  addConsoles(devices, options);
  addScreen(devices, options);
  if (spec.tpm === true)
    add(add(devices, 'tpm', { model: 'tpm-crb' }), 'backend', { type: 'emulator', version: '2.0' });
  // Tells a guest that panicked from one that stopped; a guest without a driver for it does not mind.
  add(devices, 'panic', { model: 'isa' });
  add(add(devices, 'memballoon', { model: 'virtio' }), 'stats', { period: 5 });
  add(add(devices, 'rng', { model: 'virtio' }), 'backend', { model: 'random' }, '/dev/urandom');
}
