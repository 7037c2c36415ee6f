import { z } from 'zod';
import { textSchema } from './names.js';

/** A volume that is no VM's own, as its host knows it. */
export const hostVolumeSchema = z.strictObject({
  pool: textSchema(256),
  /** File name in the pool. */
  name: textSchema(256),
  format: z.string(),
  /** What a guest would see; 0 when it cannot be read. */
  sizeBytes: z.number(),
  actualBytes: z.number(),
  /** Id of the VM that it was kept from; empty: nobody knows. */
  fromVm: z.string(),
  fromDisk: z.string(),
  /** Name of the domain that has it; empty: none here. */
  usedBy: textSchema(256),
  /** Why it can be nobody's disk; empty: it can. */
  problem: textSchema(1024),
});

export type HostVolume = z.infer<typeof hostVolumeSchema>;
