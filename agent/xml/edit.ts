import type { Element } from '@xmldom/xmldom';
import type { VmRecord } from '../../proto/model/vm.js';
import { setSourceFile } from './disk-source.js';
import { parseXml, serializeXml } from './document.js';
import {
  add,
  attribute,
  childElements,
  children,
  find,
  insertIndented,
  isBlank,
  removeIndented,
  require,
  setAttributes,
  setText,
} from './element.js';
import { addMetadata, metadataElements } from './metadata.js';
import { kibibytes } from './units.js';
import { XmlError } from './xml-error.js';

/** One change to a domain. It touches its own element and nothing else. */
export type DomainEdit = (domain: Element) => void;

/** Applies edits in order. Everything that no edit names comes out as it went in. Throws XmlError. */
export function editDomain(xml: string, edits: readonly DomainEdit[]): string {
  const parsed = parseXml(xml);
  if (parsed.root.localName !== 'domain') throw new XmlError('missing', 'The XML is not a <domain>.');
  for (const edit of edits) edit(parsed.root);
  return serializeXml(parsed);
}

/** The child of that name, made behind `after` (or the last of several) when there is none. */
function ensure(parent: Element, name: string, ...after: readonly string[]): Element {
  const present = find(parent, name);
  if (present !== undefined) return present;
  const element = add(parent, name);
  parent.removeChild(element);
  const anchors = childElements(parent).filter((one) => after.includes(one.localName ?? ''));
  insertIndented(parent, element, anchors.at(-1));
  return element;
}

function setOptionalText(name: string, text: string, ...after: readonly string[]): DomainEdit {
  return (domain) => {
    const present = find(domain, name);
    if (text === '' && present !== undefined) removeIndented(present);
    if (text !== '') setText(ensure(domain, name, ...after), text);
  };
}

/** Empty: no title. */
export function setTitle(title: string): DomainEdit {
  return setOptionalText('title', title, 'name', 'uuid');
}

/** Empty: no description. */
export function setDescription(description: string): DomainEdit {
  return setOptionalText('description', description, 'name', 'uuid', 'title');
}

/** Replaces our metadata element; everybody else's stays. */
export function setRecord(record: VmRecord): DomainEdit {
  return (domain) => {
    const metadata = ensure(domain, 'metadata', 'name', 'uuid', 'title', 'description');
    const old = metadataElements(domain);
    const place = old[0]?.nextSibling ?? null;
    addMetadata(metadata, record);
    const fresh = metadata.lastChild;
    if (fresh === null) return;
    metadata.removeChild(fresh);
    if (old.length > 0) metadata.insertBefore(fresh, place);
    else insertIndented(metadata, fresh as Element);
    for (const one of old.slice(1)) removeIndented(one);
    if (old[0] !== undefined) metadata.removeChild(old[0]);
  };
}

/** Takes our metadata element out: the domain is given back. A `<metadata>` with nothing in it goes too. */
export function removeRecord(): DomainEdit {
  return (domain) => {
    for (const one of metadataElements(domain)) removeIndented(one);
    const metadata = find(domain, 'metadata');
    if (metadata !== undefined && isBlank(metadata)) removeIndented(metadata);
  };
}

/** Size at boot, with the NUMA cell when there is exactly one. Bytes, a multiple of 1 KiB. */
export function setMemory(bytes: number): DomainEdit {
  return (domain) => {
    for (const name of ['memory', 'currentMemory']) {
      const element = name === 'memory' ? require(domain, name) : ensure(domain, name, 'memory');
      setAttributes(element, { unit: 'KiB' });
      setText(element, kibibytes(bytes));
    }
    const numa = find(domain, 'cpu', 'numa');
    const cells = numa === undefined ? [] : children(numa, 'cell');
    if (cells.length > 1) throw new XmlError('unusable', 'The domain has several NUMA cells.', 'spec.memory');
    for (const cell of cells) setAttributes(cell, { memory: kibibytes(bytes), unit: 'KiB' });
  };
}

/** vCPUs that are there at boot; at most those that the domain was defined with. */
export function setVcpus(current: number): DomainEdit {
  return (domain) => {
    const vcpu = require(domain, 'vcpu');
    const maximum = Number(vcpu.textContent ?? '1');
    if (current < 1 || current > maximum) {
      throw new XmlError('unusable', `The domain can have 1 to ${maximum} vCPUs, not ${current}.`, 'spec.cpu.vcpus');
    }
    setAttributes(vcpu, { current });
  };
}

/** The device of a disk target (`vda`) or of a NIC's MAC address. Throws XmlError (missing). */
function deviceOf(domain: Element, key: { readonly dev: string } | { readonly mac: string }): Element {
  const devices = require(domain, 'devices');
  const found =
    'dev' in key
      ? children(devices, 'disk').find((one) => attribute(find(one, 'target'), 'dev') === key.dev)
      : children(devices, 'interface').find(
          (one) => (attribute(find(one, 'mac'), 'address') ?? '').toLowerCase() === key.mac,
        );
  if (found === undefined) {
    throw new XmlError('missing', `The domain has no device ${'dev' in key ? key.dev : key.mac}.`);
  }
  return found;
}

export type DeviceKey = { readonly dev: string } | { readonly mac: string };

/** Per-device boot order, first device first; all other devices lose theirs, and so does the old `<os><boot>`. */
export function setBootOrder(keys: readonly DeviceKey[]): DomainEdit {
  return (domain) => {
    const ordered = keys.map((key) => deviceOf(domain, key));
    for (const old of children(require(domain, 'os'), 'boot')) removeIndented(old);
    for (const device of childElements(require(domain, 'devices'))) {
      const boot = find(device, 'boot');
      if (boot !== undefined && !ordered.includes(device)) removeIndented(boot);
    }
    ordered.forEach((device, index) => {
      setAttributes(ensure(device, 'boot', 'target', 'model', 'mtu'), { order: index + 1 });
    });
  };
}

/** Another file behind a disk target; undefined ejects a CD-ROM. */
export function setDiskSource(dev: string, path: string | undefined): DomainEdit {
  return (domain) => {
    const disk = deviceOf(domain, { dev });
    if (path === undefined) {
      if (attribute(disk, 'device') !== 'cdrom') throw new XmlError('unusable', `${dev} is no CD-ROM drive.`);
      const source = find(disk, 'source');
      if (source !== undefined) removeIndented(source);
      return;
    }
    setSourceFile(disk, ensure(disk, 'source', 'driver'), path);
  };
}

/** Adds a device given as XML, as attached to a running domain, behind the last of its kind. */
export function addDevice(deviceXml: string): DomainEdit {
  return (domain) => {
    const devices = require(domain, 'devices');
    const device = domain.ownerDocument?.importNode(parseXml(deviceXml).root, true);
    if (device === undefined) return;
    insertIndented(devices, device, children(devices, device.localName ?? '').at(-1));
  };
}

/** Takes a device out. Throws XmlError (missing). */
export function removeDevice(key: DeviceKey): DomainEdit {
  return (domain) => removeIndented(deviceOf(domain, key));
}
