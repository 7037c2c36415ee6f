import type { StoragePool } from '../hypervisor.js';
import { isLibvirtError, storagePoolByName, type Client, type StoragePool as Handle } from '../libvirt/index.js';
import { parseXml, serializeNode } from '../xml/document.js';
import { add, attribute, find, newDocument, textOf } from '../xml/element.js';

/** virStoragePoolState */
const RUNNING = 2;

export async function listPools(client: Client): Promise<StoragePool[]> {
  const { pools } = await client.call('connectListAllStoragePools', {});
  const described = await Promise.all(pools.map((pool) => describePool(client, pool)));
  return described.filter((pool) => pool !== undefined);
}

async function describePool(client: Client, pool: Handle): Promise<StoragePool | undefined> {
  try {
    const [info, { xml }] = await Promise.all([
      client.call('storagePoolGetInfo', { pool }),
      client.call('storagePoolGetXMLDesc', { pool }),
    ]);
    const { root } = parseXml(xml);
    return {
      name: pool.name,
      uuid: pool.uuid,
      type: attribute(root, 'type') ?? '',
      path: textOf(find(root, 'target', 'path')) ?? '',
      active: info.state === RUNNING,
      capacityBytes: info.capacity,
      availableBytes: info.available,
    };
  } catch (error) {
    // It went away between the listing and the question.
    if (isLibvirtError(error, 'NO_STORAGE_POOL')) return undefined;
    throw error;
  }
}

/** Defines, builds and starts a directory pool that is missing; one that exists is only started. */
export async function ensureDirPool(client: Client, name: string, path: string): Promise<void> {
  const present = await storagePoolByName(client, name);
  const pool = present ?? (await client.call('storagePoolDefineXML', { xml: poolXml(name, path) })).pool;
  const { active } = await client.call('storagePoolIsActive', { pool });
  if (!active) {
    // Building a directory pool makes the directory; for one that exists it does nothing.
    if (present === null) await client.call('storagePoolBuild', { pool });
    await client.call('storagePoolCreate', { pool }).catch((error: unknown) => {
      // Somebody was faster (another start of libvirt's own autostart).
      if (!isLibvirtError(error, 'OPERATION_INVALID')) throw error;
    });
  }
  if (present === null) await client.call('storagePoolSetAutostart', { pool, autostart: true });
}

function poolXml(name: string, path: string): string {
  const { root } = newDocument('pool', { type: 'dir' });
  add(root, 'name', {}, name);
  add(add(root, 'target'), 'path', {}, path);
  return serializeNode(root);
}
