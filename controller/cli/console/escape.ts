/** `^]`, as telnet and virsh have it. */
export const LEAVE_BYTE = 0x1d;

/** What to send of typed bytes, and whether the person wants to leave. What follows `^]` is dropped. */
export function splitAtLeave(bytes: Uint8Array): { readonly send: Uint8Array; readonly leave: boolean } {
  const at = bytes.indexOf(LEAVE_BYTE);
  return at < 0 ? { send: bytes, leave: false } : { send: bytes.subarray(0, at), leave: true };
}
