/** What names a libvirt object on the wire. The daemon finds a domain by its uuid alone; `id` may be -1. */
import type { Codec, Out } from './xdr.js';
import { XdrError, i32, str, struct } from './xdr.js';

const UUID = /^[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}$/i;

/** The same few domains are named in every call: their bytes are kept, and dropped all at once when they are many. */
const KNOWN_MAX = 4096;
const known = new Map<string, Buffer>();

function uuidBytes(text: string): Buffer {
  const bytes = known.get(text);
  if (bytes !== undefined) return bytes;
  if (!UUID.test(text)) throw new XdrError(`"${text}" is not a UUID`);
  if (known.size >= KNOWN_MAX) known.clear();
  const fresh = Buffer.from(text.replaceAll('-', ''), 'hex');
  known.set(text, fresh);
  return fresh;
}

/** A UUID in its usual spelling, lower case with dashes. */
export const uuid: Codec<string> = {
  sig: 'opaque[16]',
  min: 16,
  enc: (w, v) => {
    w.append(uuidBytes(v));
  },
  dec: (r) => {
    const at = r.skip(16);
    const h = r.buf.toString('hex', at, at + 16);
    return `${h.slice(0, 8)}-${h.slice(8, 12)}-${h.slice(12, 16)}-${h.slice(16, 20)}-${h.slice(20)}`;
  },
};

export const domain = struct({ name: str, uuid, id: i32 });
export const network = struct({ name: str, uuid });
export const networkPort = struct({ net: network, uuid });
export const nwfilter = struct({ name: str, uuid });
export const nwfilterBinding = struct({ portDev: str, filterName: str });
export const iface = struct({ name: str, mac: str });
export const storagePool = struct({ name: str, uuid });
export const storageVol = struct({ pool: str, name: str, key: str });
export const nodeDevice = struct({ name: str });
export const secret = struct({ uuid, usageType: i32, usageID: str });
export const domainSnapshot = struct({ name: str, dom: domain });
export const domainCheckpoint = struct({ name: str, dom: domain });

export type Domain = Out<typeof domain>;
export type Network = Out<typeof network>;
export type NetworkPort = Out<typeof networkPort>;
export type NWFilter = Out<typeof nwfilter>;
export type NWFilterBinding = Out<typeof nwfilterBinding>;
export type Interface = Out<typeof iface>;
export type StoragePool = Out<typeof storagePool>;
export type StorageVol = Out<typeof storageVol>;
export type NodeDevice = Out<typeof nodeDevice>;
export type Secret = Out<typeof secret>;
export type DomainSnapshot = Out<typeof domainSnapshot>;
export type DomainCheckpoint = Out<typeof domainCheckpoint>;

/** A handle from a UUID alone, for calls on a domain that was not looked up. */
export const domainOf = (id: string, name = ''): Domain => ({ name, uuid: id, id: -1 });
