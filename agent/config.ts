import { z } from 'zod';
import { loadConfig } from '../proto/kit/config.js';
import { bridgeSchema, poolNameSchema } from '../proto/model/names.js';

/** An absolute, normal path without characters that XML, a log or a person could trip over. */
export const absolutePathSchema = z
  .string()
  .regex(/^(?:\/[A-Za-z0-9_.@+-]+)+$/, 'is not an absolute path of plain characters')
  .refine((path) => !path.split('/').some((part) => part === '.' || part === '..'), 'has . or .. in it');

const poolSchema = z.strictObject({
  name: poolNameSchema,
  /** Where the pool's directory is; it is made, and the pool defined in libvirt, when they are missing. */
  path: absolutePathSchema,
  /** Whether other hosts see the same files; `auto` takes a network file system for shared. */
  shared: z.enum(['auto', 'yes', 'no']).default('auto'),
});

/** /etc/ostler/agent.yaml. Every key with its default; systemd/agent.yaml shows them to people. */
export const agentConfigSchema = z.strictObject({
  dataDir: absolutePathSchema.default('/var/lib/ostler/agent'),
  runDir: absolutePathSchema.default('/run/ostler'),
  libvirt: z
    .strictObject({
      uri: z
        .string()
        .regex(/^(?:qemu|test):\/\/\/[A-Za-z0-9/._-]+$/, 'is not a local libvirt URI (qemu:///system)')
        .default('qemu:///system'),
      /** libvirt's own places when left out. */
      socket: absolutePathSchema.optional(),
      /** Where libvirt keeps QEMU's logs; those of a deleted VM are removed. */
      qemuLogDirectory: absolutePathSchema.default('/var/log/libvirt/qemu'),
    })
    .prefault({}),
  pools: z
    .array(poolSchema)
    .min(1, 'name at least one pool')
    .refine((pools) => new Set(pools.map((one) => one.name)).size === pools.length, 'two pools have the same name')
    .default([{ name: 'default', path: '/var/lib/libvirt/images', shared: 'auto' }]),
  /** The first of `pools` when left out. */
  defaultPool: poolNameSchema.optional(),
  /** For NICs that name no bridge; empty: such a NIC is refused. */
  defaultBridge: z.union([z.literal(''), bridgeSchema]).default('virbr0'),
  /** `auto` uses KVM when it really ran a guest here. */
  accelerator: z.enum(['auto', 'kvm', 'tcg']).default('auto'),
  logLevel: z.enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent']).default('info'),
  metricsIntervalMs: z.int().min(100).max(600_000).default(10_000),
  journal: z
    .strictObject({
      /** Acknowledged results are kept this long, so that a late repetition is answered and not executed. */
      retentionHours: z
        .number()
        .positive()
        .max(24 * 30)
        .default(24),
      maxEntries: z.int().min(10).max(100_000).default(1000),
    })
    .prefault({}),
});

export type AgentConfig = z.infer<typeof agentConfigSchema>;
export type PoolConfig = AgentConfig['pools'][number];

/** The file need not exist when nobody named it: every key has a default. */
export function loadAgentConfig(path: string, options: { optional: boolean }): Promise<AgentConfig> {
  return loadConfig(path, agentConfigSchema, options);
}
