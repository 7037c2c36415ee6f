import { parse as parseYaml } from 'yaml';
import { z } from 'zod';
import { ostler } from '../../../proto/gen/ostler.js';
import { parseConfig } from '../../../proto/kit/config.js';
import { invalidField, OstlerError } from '../../../proto/kit/errors.js';
import { parseSeconds } from './duration.js';
import { parseSize } from './size.js';
import { BUSES, CLONES, DEVICES, FIRMWARES, NIC_MODELS, OS_TYPES, readText, STAGES } from './vm-flags.js';

/**
 * `vm create -f FILE`: the fields of CreateVmRequest in the spelling of `-o yaml`; sizes may be written `2GiB`, times
 * `90s`, and words in either case (`linux`, `LINUX`). Unknown keys are refused by name.
 */
const TIMEOUT_ACTIONS = {
  'keep-running': ostler.v1.TimeoutAction.KEEP_RUNNING,
  'force-off': ostler.v1.TimeoutAction.FORCE_OFF,
} as const;

/** A word of ours (`pre-network`) or the API's name of it (`PRE_NETWORK`, `NIC_VIRTIO`). */
function wordOf<T extends number>(words: Readonly<Record<string, T>>): z.ZodType<T, string> {
  return z.string().transform((text, context) => {
    const key = text.toLowerCase().replace(/^nic_/, '').replaceAll('_', '-');
    const value = words[key];
    if (value !== undefined) return value;
    context.addIssue({ code: 'custom', message: `is not one of ${Object.keys(words).join(', ')}` });
    return z.NEVER;
  });
}

function quantity(parse: (text: string, field: string) => number): z.ZodType<number, string | number> {
  return z.union([z.int().nonnegative(), z.string()]).transform((value, context) => {
    if (typeof value === 'number') return value;
    try {
      return parse(value, '');
    } catch (error) {
      const { message, remedy } = error as OstlerError;
      context.addIssue({ code: 'custom', message: [message.replace(/^: /, ''), remedy].filter(Boolean).join('. ') });
      return z.NEVER;
    }
  });
}

const size = quantity(parseSize);
const seconds = quantity(parseSeconds);
const count = z.int().nonnegative();

const schema = z.strictObject({
  name: z.string().optional(),
  displayName: z.string().optional(),
  description: z.string().optional(),
  labels: z.record(z.string(), z.string()).optional(),
  start: z.boolean().optional(),
  createdBy: z.string().optional(),
  fromSnapshot: z.strictObject({ vm: z.string(), snapshot: z.string() }).optional(),
  spec: z.strictObject({
    cpu: z
      .strictObject({
        vcpus: count.optional(),
        maxVcpus: count.optional(),
        sockets: count.optional(),
        cores: count.optional(),
        threads: count.optional(),
        model: z.string().optional(),
      })
      .optional(),
    memory: z.strictObject({ sizeBytes: size, maxSizeBytes: size.optional() }),
    disks: z.array(
      z.strictObject({
        name: z.string(),
        image: z.string().optional(),
        sizeBytes: size.optional(),
        pool: z.string().optional(),
        bus: wordOf(BUSES).optional(),
        device: wordOf(DEVICES).optional(),
        clone: wordOf(CLONES).optional(),
      }),
    ),
    nics: z
      .array(
        z.strictObject({
          name: z.string(),
          bridge: z.string().optional(),
          mac: z.string().optional(),
          model: wordOf(NIC_MODELS).optional(),
          mtu: count.optional(),
        }),
      )
      .optional(),
    osType: wordOf(OS_TYPES).optional(),
    firmware: wordOf(FIRMWARES).optional(),
    bootOrder: z.array(z.string()).optional(),
    cloudInit: z
      .strictObject({
        enabled: z.boolean().default(true),
        user: z.string().optional(),
        passwordHash: z.string().optional(),
        sshKeys: z.array(z.string()).optional(),
        userData: z.string().optional(),
        networkConfig: z.string().optional(),
        scripts: z
          .array(
            z.strictObject({
              name: z.string(),
              order: count,
              stage: wordOf(STAGES).optional(),
              content: z.string(),
            }),
          )
          .optional(),
      })
      .optional(),
    shutdownTimeoutSeconds: seconds.optional(),
    onShutdownTimeout: wordOf(TIMEOUT_ACTIONS).optional(),
    placement: z.strictObject({ host: z.string().optional(), requiredTags: z.array(z.string()).optional() }).optional(),
  }),
});

/** Reads the file; INVALID_FIELD names the key, as in `web.yaml: spec.memory.sizeBytes`. */
export function requestFromFile(path: string): ostler.v1.CreateVmRequest.$Properties {
  const text = readText(path, '--file');
  let raw: unknown;
  try {
    raw = parseYaml(text);
  } catch (error) {
    throw invalidField('--file', `${path} is not YAML: ${(error as Error).message}`);
  }
  const { start = true, ...request } = parseSpec(raw, path);
  return { ...(request as ostler.v1.CreateVmRequest.$Properties), start };
}

function parseSpec(raw: unknown, path: string): z.output<typeof schema> {
  try {
    return parseConfig(raw, schema, path);
  } catch (error) {
    const { message, field = '' } = error as OstlerError;
    const remedy =
      'The keys are those of `ostler show NAME -o yaml`, without what the system adds (id, state, host …).';
    throw new OstlerError('INVALID_FIELD', message, { field, remedy, cause: error });
  }
}
