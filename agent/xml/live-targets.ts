import { driveLetters } from '../core/disk-target.js';
import { attribute, children, find, require, setAttributes, textOf } from './element.js';
import { editDomain, type DomainEdit } from './edit.js';
import { readDomain } from './read-domain.js';

/**
 * A definition whose disks have the targets that they have in the running domain, by serial number. libvirt carries a change
 * of a running domain's files into its definition only where target and file are the same in both; a definition that it
 * passes over would begin, at the host's next start, on files that a snapshot holds. Throws XmlError.
 */
export function withLiveTargets(definition: string, live: string): string {
  const present = presentBySerial(live);
  const align: DomainEdit = (domain) => {
    const targets = children(require(domain, 'devices'), 'disk').map((disk) => {
      const target = require(disk, 'target');
      const now = present.get(textOf(find(disk, 'serial')) ?? '');
      return { target, now: now?.bus === attribute(target, 'bus') ? now?.dev : undefined };
    });
    const taken = new Set(targets.flatMap(({ now }) => (now === undefined ? [] : [now])));
    for (const { target, now } of targets) {
      const dev = now ?? freeName(attribute(target, 'dev') ?? '', taken);
      taken.add(dev);
      setAttributes(target, { dev });
    }
  };
  return editDomain(definition, [align]);
}

/** A serial number that two disks have (somebody else's) tells neither of them. */
function presentBySerial(live: string): ReadonlyMap<string, { readonly bus: string; readonly dev: string }> {
  const { disks } = readDomain(live);
  return new Map(
    disks.flatMap(({ serial, bus, dev }) => {
      const known = serial !== undefined && disks.filter((one) => one.serial === serial).length === 1;
      return known ? [[serial, { bus, dev }] as const] : [];
    }),
  );
}

/** A disk that does not run yet makes way for one that does. */
function freeName(dev: string, taken: ReadonlySet<string>): string {
  let name = dev;
  for (let index = 0; taken.has(name); index++) name = dev.slice(0, 2) + driveLetters(index);
  return name;
}
