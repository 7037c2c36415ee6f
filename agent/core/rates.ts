/** Cumulative counters of one VM at one moment. */
export interface CounterSample {
  readonly cpuTimeNs: bigint;
  readonly vcpus: number;
  readonly blockReadBytes: number;
  readonly blockWriteBytes: number;
  readonly netReceiveBytes: number;
  readonly netTransmitBytes: number;
}

export interface Rates {
  /** Of all the VM's vCPUs, 0–100. */
  readonly cpuPercent: number;
  readonly diskReadBytesPerSecond: number;
  readonly diskWriteBytesPerSecond: number;
  readonly netReceiveBytesPerSecond: number;
  readonly netTransmitBytesPerSecond: number;
}

/** A counter that went back began anew (the VM restarted, a device was replaced): what it shows now was counted since. */
function grown(before: number, now: number): number {
  return now >= before ? now - before : now;
}

/**
 * Rates between two samples, `elapsedSeconds` apart on a clock that never jumps. Undefined when there is nothing to divide
 * by: the samples are from the same moment, or in the wrong order.
 */
export function ratesBetween(before: CounterSample, now: CounterSample, elapsedSeconds: number): Rates | undefined {
  if (!(elapsedSeconds > 0) || !Number.isFinite(elapsedSeconds)) return undefined;
  const cpuNs = now.cpuTimeNs >= before.cpuTimeNs ? now.cpuTimeNs - before.cpuTimeNs : now.cpuTimeNs;
  const capacity = elapsedSeconds * Math.max(1, now.vcpus) * 1e9;
  const perSecond = (from: number, to: number): number => grown(from, to) / elapsedSeconds;
  return {
    // QEMU's own threads count too, so that a busy single-vCPU guest can exceed its share.
    cpuPercent: Math.min(100, (Number(cpuNs) / capacity) * 100),
    diskReadBytesPerSecond: perSecond(before.blockReadBytes, now.blockReadBytes),
    diskWriteBytesPerSecond: perSecond(before.blockWriteBytes, now.blockWriteBytes),
    netReceiveBytesPerSecond: perSecond(before.netReceiveBytes, now.netReceiveBytes),
    netTransmitBytesPerSecond: perSecond(before.netTransmitBytes, now.netTransmitBytes),
  };
}
