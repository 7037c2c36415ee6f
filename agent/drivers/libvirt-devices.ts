import type { Hypervisor } from '../hypervisor.js';
import { AFFECT, BLOCK_RESIZE, domainOf, isLibvirtError, param, VCPU, type Client } from '../libvirt/index.js';
import { fromLibvirt } from './libvirt-errors.js';

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

/** A guest with many CPUs or a tray that is locked takes its time; libvirt itself gives up long before this. */
const DEVICE_MS = 60_000;
/** VIR_DOMAIN_MEMORY_STAT_AVAILABLE: all that the guest's system can use, in KiB. */
const MEMORY_STAT_AVAILABLE = 5;
const MEMORY_STATS = 32;
const SLOW = { timeoutMs: DEVICE_MS };

/** What changes a running domain alone: the definition is written as a whole afterwards. */
export function deviceCalls(client: Client): DevicePart {
  const named = async <T>(what: string, call: Promise<T>): Promise<T> => {
    try {
      return await call;
    } catch (error) {
      throw fromLibvirt(error, what);
    }
  };
  return {
    async setVcpus(uuid, nvcpus) {
      const args = { dom: domainOf(uuid), nvcpus, flags: VCPU.LIVE };
      await named('plug vCPUs in', client.call('domainSetVcpusFlags', args, SLOW));
    },
    async guestMemoryBytes(uuid) {
      const args = { dom: domainOf(uuid), maxStats: MEMORY_STATS };
      const { stats } = await named('tell the guest’s memory', client.call('domainMemoryStats', args));
      const available = stats.find((one) => one.tag === MEMORY_STAT_AVAILABLE);
      return available === undefined ? undefined : available.value * 1024;
    },
    async attachDevice(uuid, xml) {
      const args = { dom: domainOf(uuid), xml, flags: AFFECT.LIVE };
      await named('plug the device in', client.call('domainAttachDeviceFlags', args, SLOW));
    },
    async detachDevice(uuid, alias) {
      const args = { dom: domainOf(uuid), alias, flags: AFFECT.LIVE };
      try {
        await client.call('domainDetachDeviceAlias', args, SLOW);
      } catch (error) {
        // QEMU remembers what it has asked its guest for.
        if (isLibvirtError(error) && /already in the process of unplug/.test(error.message)) return;
        throw fromLibvirt(error, 'take the device out');
      }
    },
    async updateDevice(uuid, xml) {
      const args = { dom: domainOf(uuid), xml, flags: AFFECT.LIVE };
      await named('change the device', client.call('domainUpdateDeviceFlags', args, SLOW));
    },
    async blockCapacity(uuid, dev) {
      const args = { dom: domainOf(uuid), path: dev };
      return (await named('tell the size of a disk', client.call('domainGetBlockInfo', args))).capacity;
    },
    async resizeBlock(uuid, dev, bytes) {
      const args = { dom: domainOf(uuid), disk: dev, size: bytes, flags: BLOCK_RESIZE.BYTES };
      await named('grow the disk', client.call('domainBlockResize', args, SLOW));
    },
    async setBlockLimits(uuid, dev, limits) {
      const params = [
        param.ullong('read_bytes_sec', BigInt(limits.readBytesPerSecond)),
        param.ullong('write_bytes_sec', BigInt(limits.writeBytesPerSecond)),
        param.ullong('read_iops_sec', BigInt(limits.readIops)),
        param.ullong('write_iops_sec', BigInt(limits.writeIops)),
      ];
      const args = { dom: domainOf(uuid), disk: dev, params, flags: AFFECT.LIVE };
      await named('limit the disk', client.call('domainSetBlockIoTune', args));
    },
  };
}
