/** Timestamps on the wire are google.protobuf.Timestamp; inside they are milliseconds since 1970 (UTC). */
export interface WireTimestamp {
  seconds?: number | null;
  nanos?: number | null;
}

export function toWireTime(ms: number | undefined): WireTimestamp | null {
  if (ms === undefined) return null;
  const seconds = Math.floor(ms / 1000);
  return { seconds, nanos: Math.round((ms - seconds * 1000) * 1e6) };
}

export function fromWireTime(time: WireTimestamp | null | undefined): number | undefined {
  if (time === null || time === undefined) return undefined;
  return (time.seconds ?? 0) * 1000 + Math.floor((time.nanos ?? 0) / 1e6);
}
