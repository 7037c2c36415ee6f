import { z } from 'zod';

/** System-made ids: `i-` VM, `img-` image, `op-` operation, `h-` host; ten characters of base 32 without look-alikes. */
export const ID_PATTERN = /^(i|img|op|h|ev)-[0-9a-hjkmnp-tv-z]{10,16}$/;
export const idSchema = z.string().regex(ID_PATTERN, 'is not an id made by this system');

export const uuidSchema = z
  .string()
  .regex(/^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/, 'is not a UUID in lower case');

/** Names that become host names and file-system words: V-11 (letters, digits, hyphen) within RFC 1123's label. */
export const NAME_RULE = 'use 1 to 63 letters, digits and hyphens; no hyphen at either end';
export const nameSchema = z.string().regex(/^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/, NAME_RULE);

/** Image names may carry dots and underscores (`debian-12.5`), never a slash or a leading dot. */
export const imageNameSchema = z
  .string()
  .regex(
    /^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/,
    'use 1 to 63 letters, digits, dots, hyphens and underscores, a letter or digit first',
  );

/** For people: any script, no control characters, at most 128 code units. XML cannot carry U+FFFE, U+FFFF or lone surrogates. */
const UNPRINTABLE =
  /[\u0000-\u001f\u007f-\u009f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
export const displayNameSchema = z
  .string()
  .min(1, 'is empty')
  .max(128, 'is longer than 128 characters')
  .refine((text) => !UNPRINTABLE.test(text), 'has control characters or broken Unicode');

const UNPRINTABLE_TEXT =
  /[\u0000-\u0008\u000b\u000c\u000e-\u001f\ufffe\uffff]|[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udfff]/;
export const textSchema = (maximum: number): z.ZodString =>
  z
    .string()
    .max(maximum, `is longer than ${maximum} characters`)
    .refine((text) => !UNPRINTABLE_TEXT.test(text), 'has control characters');

export const descriptionSchema = textSchema(1024);

/** Labels and host tags: Kubernetes' key form without prefix. */
const LABEL_WORD = /^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;
export const labelsSchema = z
  .record(
    z.string().regex(LABEL_WORD, 'is not a label key'),
    z.string().regex(/^$|^[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/, 'is not a label value'),
  )
  .refine((labels) => Object.keys(labels).length <= 64, 'has more than 64 labels');
export const tagSchema = z.string().regex(LABEL_WORD, 'is not a tag: letters, digits, dots, hyphens, underscores');

export const poolNameSchema = z.string().regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/, 'is not a pool name');
/** Linux interface names: at most 15 bytes (IFNAMSIZ − 1), no slash, no white space. */
export const bridgeSchema = z
  .string()
  .regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,14}$/, 'is not an interface name of at most 15 characters');
export const macSchema = z
  .string()
  .regex(/^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/, 'is not a MAC address in lower case')
  .refine((mac) => (parseInt(mac.slice(0, 2), 16) & 1) === 0, 'is a multicast MAC address')
  .refine((mac) => mac !== '00:00:00:00:00:00', 'is all zeros');
