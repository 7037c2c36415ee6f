import type { Element } from '@xmldom/xmldom';
import { attribute, setAttributes } from './element.js';

/**
 * Another file behind a disk's `<source>`. What it says of a file stays (labels, start-up policy); where a block device, a
 * volume or a network disk lay says nothing of a file, and libvirt would keep it: all of that goes.
 */
export function setSourceFile(disk: Element, source: Element, path: string): void {
  if (attribute(disk, 'type') !== 'file') {
    while (source.firstChild !== null) source.removeChild(source.firstChild);
    for (const { name } of [...source.attributes]) source.removeAttribute(name);
  }
  setAttributes(disk, { type: 'file' });
  setAttributes(source, { file: path });
}
