import type { ostler } from '../gen/ostler.js';
import { hostVolumeSchema, type HostVolume } from '../model/volume.js';
import { parseModel } from './parse.js';

export function volumesToWire(volumes: readonly HostVolume[]): ostler.v1.HostVolumes.$Properties {
  return { volumes: volumes.map((one) => ({ ...one })) };
}

/** What an agent told. INVALID_FIELD when it cannot be. */
export function volumesFromWire(wire: ostler.v1.HostVolumes.$Properties): readonly HostVolume[] {
  return (wire.volumes ?? []).map((one, index) =>
    parseModel(
      hostVolumeSchema,
      {
        pool: one.pool ?? '',
        name: one.name ?? '',
        format: one.format ?? '',
        sizeBytes: one.sizeBytes ?? 0,
        actualBytes: one.actualBytes ?? 0,
        fromVm: one.fromVm ?? '',
        fromDisk: one.fromDisk ?? '',
        usedBy: one.usedBy ?? '',
        problem: one.problem ?? '',
      },
      `volumes[${index}]`,
    ),
  );
}
