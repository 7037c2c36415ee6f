import { z } from 'zod';
import { idSchema } from './names.js';

export const imageFormatSchema = z.enum(['qcow2', 'raw', 'iso']);
export const sha256Schema = z.string().regex(/^[0-9a-f]{64}$/, 'is not a SHA-256 in lower-case hexadecimal');

/** What an agent needs to fetch and check an image. */
export const imageRefSchema = z.strictObject({
  id: idSchema,
  format: imageFormatSchema,
  fileBytes: z.int().positive(),
  virtualSizeBytes: z.int().positive(),
  sha256: sha256Schema,
});

/** What its system needs, where whoever makes a VM of it says nothing else. M-031 */
export const imageDefaultsSchema = z.strictObject({
  diskBus: z.enum(['virtio', 'scsi', 'sata']).exactOptional(),
  nicModel: z.enum(['virtio', 'e1000e']).exactOptional(),
  firmware: z.enum(['bios', 'uefi']).exactOptional(),
});

export type ImageDefaults = z.infer<typeof imageDefaultsSchema>;
export type ImageFormat = z.infer<typeof imageFormatSchema>;
export type ImageRef = z.infer<typeof imageRefSchema>;
