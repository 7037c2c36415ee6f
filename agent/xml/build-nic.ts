import type { Element } from '@xmldom/xmldom';
import type { Nic } from '../../proto/model/vm.js';
import { add } from './element.js';
import { XmlError } from './xml-error.js';

/** One network interface on a bridge of the host; an empty bridge name means the host's default. */
export function addNic(
  devices: Element,
  nic: Nic,
  place: { readonly defaultBridge: string; readonly bootOrder: number | undefined },
): Element {
  const bridge = nic.bridge === '' ? place.defaultBridge : nic.bridge;
  if (bridge === '') {
    throw new XmlError('unusable', `The NIC ${nic.name} names no bridge and the host has no default one.`, 'spec.nics');
  }
  if (nic.vlan !== undefined) {
    // libvirt tags the ports of Linux bridges from 11.0 on; before, it refuses the whole domain at its start.
    const why = `The NIC ${nic.name} asks for VLAN ${nic.vlan}, which this host cannot tag on a Linux bridge.`;
    throw new XmlError('unusable', `${why} Name a bridge that is in that VLAN.`, 'spec.nics');
  }
  const element = add(devices, 'interface', { type: 'bridge' });
  add(element, 'mac', { address: nic.mac });
  add(element, 'source', { bridge });
  add(element, 'model', { type: nic.model });
  if (nic.mtu !== 0) add(element, 'mtu', { size: nic.mtu });
  if (place.bootOrder !== undefined) add(element, 'boot', { order: place.bootOrder });
  return element;
}
