import type { Element } from '@xmldom/xmldom';
import { attribute, textOf } from './element.js';
import { XmlError } from './xml-error.js';

/** libvirt's memory units (formatdomain: "Memory Allocation"); without a unit it is KiB. */
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1000,
  k: 1024,
  KiB: 1024,
  MB: 1000 ** 2,
  M: 1024 ** 2,
  MiB: 1024 ** 2,
  GB: 1000 ** 3,
  G: 1024 ** 3,
  GiB: 1024 ** 3,
  TB: 1000 ** 4,
  T: 1024 ** 4,
  TiB: 1024 ** 4,
};

/** Bytes of a `<memory unit='KiB'>` element. Throws XmlError (malformed). */
export function bytesOf(element: Element): number {
  const unit = attribute(element, 'unit') ?? 'KiB';
  const factor = Object.hasOwn(UNITS, unit) ? UNITS[unit] : undefined;
  const text = (textOf(element) ?? '').trim();
  if (factor === undefined || !/^[0-9]{1,15}$/.test(text)) {
    throw new XmlError('malformed', `<${element.nodeName}> is no amount of memory: ${text.slice(0, 40)} ${unit}`);
  }
  return Number(text) * factor;
}

export function kibibytes(bytes: number): number {
  return bytes / 1024;
}
