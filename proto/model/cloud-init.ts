import { z } from 'zod';
import { textSchema } from './names.js';

/** C-086: lower-case letters and digits; it starts with a letter so that no tool takes it for a number. */
export const userNameSchema = z
  .string()
  .regex(/^[a-z][a-z0-9]{0,31}$/, 'use lower-case letters and digits, a letter first, at most 32');

/** crypt(3) hashes that cloud-init and every living glibc take: yescrypt, SHA-512, SHA-256, bcrypt. */
export const passwordHashSchema = z
  .string()
  .regex(
    /^$|^\$(y|6|5|2[aby])\$[./A-Za-z0-9$=,]{8,256}$/,
    'is not a crypt(3) hash of a modern kind ($y$, $6$, $5$, $2b$)',
  );

const KEY_TYPES =
  'ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)|sk-ssh-ed25519@openssh\\.com|sk-ecdsa-sha2-nistp256@openssh\\.com';
export const sshKeySchema = z
  .string()
  .max(16384)
  .regex(
    new RegExp(`^(?:${KEY_TYPES}) [A-Za-z0-9+/]+=*(?: [^\\r\\n\\u0000-\\u001f]*)?$`),
    'is not one authorized_keys line (type, base64, comment)',
  );

/** UTF-8 bytes of a string without Node or the DOM. */
export function utf8Length(text: string): number {
  let length = 0;
  for (const character of text) {
    const code = character.codePointAt(0) ?? 0;
    length += code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
  }
  return length;
}

/** M-151: the field's usual limit, kept for portability; the seed ISO itself has none. */
export const USER_DATA_LIMIT_BYTES = 32 * 1024;
const limited = (text: string): boolean => utf8Length(text) <= USER_DATA_LIMIT_BYTES;

export const userScriptSchema = z.strictObject({
  name: z
    .string()
    .regex(/^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$/, 'is not a file name of letters, digits, dots, hyphens, underscores'),
  order: z.int().nonnegative().max(9999),
  stage: z.enum(['pre-network', 'boot', 'final']), // C-090
  content: textSchema(USER_DATA_LIMIT_BYTES).min(1, 'is empty').refine(limited, 'is longer than 32 KiB'),
});

export const cloudInitSchema = z.strictObject({
  enabled: z.boolean(),
  user: userNameSchema,
  passwordHash: passwordHashSchema,
  sshKeys: z.array(sshKeySchema).max(64),
  userData: textSchema(USER_DATA_LIMIT_BYTES).refine(limited, 'is longer than 32 KiB'),
  networkConfig: textSchema(USER_DATA_LIMIT_BYTES).refine(limited, 'is longer than 32 KiB'),
  scripts: z
    .array(userScriptSchema)
    .max(32, 'more than 32 scripts')
    .refine(
      (scripts) => new Set(scripts.map((one) => one.order)).size === scripts.length,
      'two scripts have the same order',
    )
    .refine(
      (scripts) => new Set(scripts.map((one) => one.name)).size === scripts.length,
      'two scripts have the same name',
    ),
});

export type CloudInit = z.infer<typeof cloudInitSchema>;
export type UserScript = z.infer<typeof userScriptSchema>;
