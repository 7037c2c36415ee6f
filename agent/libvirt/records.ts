/** The structures that procedures carry beside handles and typed parameters. */
import type { Codec } from './xdr.js';
import { amount, bytes, i32, list, optStr, signedAmount, str, struct, tuple, u32, u64 } from './xdr.js';
import { domain } from './objects.js';
import { metricsCodec } from './typed-params.js';

/** `need_results`: whether a list is wanted or only its length. Left out, it is wanted. */
export const wanted: Codec<boolean, boolean | undefined> = {
  sig: 'i32',
  min: 4,
  enc: (w, v) => w.i32(v === false ? 0 : 1),
  dec: (r) => r.i32() !== 0,
};

/** A char array as text: XDR has no char, so that every character takes a word. */
function charsToText(sig: string, words: Codec<number[], readonly number[]>, length?: number): Codec<string> {
  return {
    sig,
    min: words.min,
    enc: (w, v) => {
      const chars = [...Buffer.from(v)];
      words.enc(w, length === undefined ? chars : [...chars, ...Array<number>(length).fill(0)].slice(0, length));
    },
    dec: (r) => {
      const chars = words.dec(r);
      const end = chars.indexOf(0);
      return Buffer.from(end < 0 ? chars : chars.slice(0, end)).toString();
    },
  };
}

export const fixedText = (n: number): Codec<string> => charsToText(`i32[${n}]`, tuple(i32, n), n);
/** Security labels and models: at most 4097 characters (VIR_SECURITY_LABEL_BUFLEN). */
export const wideText: Codec<string> = charsToText('i32<>', list(i32, 4097));

export const cookie = bytes(4 * 1024 * 1024);
export const peekBuffer = bytes(4 * 1024 * 1024);
/** One bit a physical CPU, lowest bit of the first byte first. */
export const cpumap = bytes(2048);
export const cpumaps = bytes(8 * 1024 * 1024);
export const secretValue = bytes(65536);

/** `cpuTime` in ns. */
export const vcpuInfo = struct({ number: u32, state: i32, cpuTime: u64, cpu: i32 });
export const memoryStat = struct({ tag: i32, value: amount });
export const nodeStat = struct({ field: str, value: amount });
export const diskError = struct({ disk: str, error: i32 });
export const ioThreadInfo = struct({ id: u32, cpumap });
export const fsInfo = struct({ mountpoint: str, name: str, fstype: str, devAliases: list(str) });
export const guestInterface = struct({
  name: str,
  hwaddr: optStr,
  addrs: list(struct({ type: i32, addr: str, prefix: u32 })),
});
export const dhcpLease = struct({
  iface: str,
  /** Seconds since 1970. */
  expiryTime: signedAmount,
  type: i32,
  mac: optStr,
  iaid: optStr,
  ipaddr: str,
  prefix: u32,
  hostname: optStr,
  clientID: optStr,
});
export const securityLabel = struct({ label: wideText, enforcing: i32 });
export const statsRecord = struct({ dom: domain, stats: metricsCodec() });
