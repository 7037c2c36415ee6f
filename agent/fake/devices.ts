import type { Element } from '@xmldom/xmldom';
import type { Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import type { Hypervisor, HypervisorEvent } from '../hypervisor.js';
import { parseXml, serializeNode } from '../xml/document.js';
import { addDevice, editDomain, setVcpus, type DomainEdit } from '../xml/edit.js';
import { add, attribute, childElements, find, removeIndented, require } from '../xml/element.js';
import { readFacts } from '../xml/read-facts.js';
import type { GuestManners } from './guest.js';

type DevicePart = Pick<
  Hypervisor,
  | 'setVcpus'
  | 'guestMemoryBytes'
  | 'attachDevice'
  | 'detachDevice'
  | 'updateDevice'
  | 'blockCapacity'
  | 'resizeBlock'
  | 'setBlockLimits'
>;

/** A running fake domain: its XML, and the sizes of its disks that were changed, by target. */
export interface RunningDomain {
  liveXml: string | undefined;
  readonly capacities: Map<string, number>;
}

interface Deps {
  readonly clock: Clock;
  readonly manners: GuestManners;
  /** Throws WRONG_STATE when it is off. */
  readonly active: (uuid: string) => RunningDomain;
  readonly tell: (event: HypervisorEvent) => void;
}

/** Devices of running domains, as edits of their XML; guests let go of a device after a while, or never. */
export function deviceCalls({ clock, manners, active, tell }: Deps): DevicePart {
  let made = 0;
  const edit = (uuid: string, change: DomainEdit): void => {
    const domain = active(uuid);
    domain.liveXml = editDomain(domain.liveXml ?? '', [change]);
  };
  const remove = (uuid: string, alias: string): void => {
    edit(uuid, (root) => {
      const device = deviceWith(root, (one) => attribute(find(one, 'alias'), 'name') === alias);
      if (device !== undefined) removeIndented(device);
    });
    tell({ type: 'device-removed', uuid, alias });
  };
  return {
    async setVcpus(uuid, vcpus) {
      edit(uuid, setVcpus(vcpus));
      await Promise.resolve();
    },
    async guestMemoryBytes(uuid) {
      const { bootMemoryBytes, memory } = readFacts(active(uuid).liveXml ?? '');
      return Promise.resolve(memory.reduce((sum, one) => sum + one.currentBytes, bootMemoryBytes));
    },
    async attachDevice(uuid, xml) {
      const { root } = parseXml(xml);
      if (find(root, 'alias') === undefined) add(root, 'alias', { name: `fake${++made}` });
      edit(uuid, addDevice(serializeNode(root)));
      await Promise.resolve();
    },
    async detachDevice(uuid, alias) {
      active(uuid);
      const { releaseMs } = manners;
      if (releaseMs >= 0) void clock.sleep(releaseMs).then(() => remove(uuid, alias));
      await Promise.resolve();
    },
    async updateDevice(uuid, xml) {
      const device = parseXml(xml).root;
      const alias = attribute(find(device, 'alias'), 'name');
      const dev = attribute(find(device, 'target'), 'dev');
      edit(uuid, (root) => {
        const old = deviceWith(
          root,
          (one) =>
            (alias !== undefined && attribute(find(one, 'alias'), 'name') === alias) ||
            (dev !== undefined && attribute(find(one, 'target'), 'dev') === dev),
        );
        if (old === undefined) throw new OstlerError('HYPERVISOR_ERROR', 'no such device');
        const oldAlias = attribute(find(old, 'alias'), 'name');
        if (alias === undefined && oldAlias !== undefined) add(device, 'alias', { name: oldAlias });
        removeIndented(old);
        addDevice(serializeNode(device))(root);
      });
      await Promise.resolve();
    },
    blockCapacity: (uuid, dev) => Promise.resolve(active(uuid).capacities.get(dev) ?? 0),
    async resizeBlock(uuid, dev, bytes) {
      active(uuid).capacities.set(dev, bytes);
      await Promise.resolve();
    },
    async setBlockLimits(uuid, dev, limits) {
      edit(uuid, (root) => {
        const disk = deviceWith(root, (one) => attribute(find(one, 'target'), 'dev') === dev);
        if (disk === undefined) throw new OstlerError('HYPERVISOR_ERROR', 'no such disk');
        const old = find(disk, 'iotune');
        if (old !== undefined) removeIndented(old);
        const tune = add(disk, 'iotune');
        add(tune, 'read_bytes_sec', {}, limits.readBytesPerSecond);
        add(tune, 'write_bytes_sec', {}, limits.writeBytesPerSecond);
        add(tune, 'read_iops_sec', {}, limits.readIops);
        add(tune, 'write_iops_sec', {}, limits.writeIops);
      });
      await Promise.resolve();
    },
  };
}

function deviceWith(domain: Element, test: (device: Element) => boolean): Element | undefined {
  return childElements(require(domain, 'devices')).find(test);
}

/** libvirt gives every device of a running domain an alias. */
export function withAliases(xml: string): string {
  let number = 0;
  return editDomain(xml, [
    (domain) => {
      for (const device of childElements(require(domain, 'devices'))) {
        if (find(device, 'alias') === undefined) add(device, 'alias', { name: `boot${++number}` });
      }
    },
  ]);
}

/** What a guest agent says of the vCPUs; `offline` of them are not in use. */
export function guestVcpus(vcpus: number, offline: number): string {
  const list = Array.from({ length: vcpus }, (_, id) => ({
    'logical-id': id,
    online: id < vcpus - offline,
    'can-offline': id > 0,
  }));
  return JSON.stringify({ return: list });
}
