import { createAccelerator } from '../../agent/drivers/accelerator.js';
import type { CommandBody, CommandContext, Executors, Facts, RecordChange } from '../../agent/command.js';
import { planChange } from '../../agent/drivers/change-plan.js';
import { createDefinitions } from '../../agent/drivers/definitions.js';
import type { DriverDeps } from '../../agent/drivers/deps.js';
import { createIntents } from '../../agent/drivers/intents.js';
import { createExecutors } from '../../agent/drivers/lifecycle.js';
import { createPools } from '../../agent/drivers/pools.js';
import { createFakeWorld, type FakeWorld } from '../../agent/fake/world.js';
import { makeQcow2 } from '../../agent/fake/qcow2.js';
import { createLayout } from '../../agent/layout.js';
import { readFacts } from '../../agent/xml/read-facts.js';
import type { DomainFacts } from '../../agent/core/domain-facts.js';
import { systemClock, type Clock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { silentLog } from '../../proto/kit/log.js';
import { MIB, type VmRecord } from '../../proto/model/vm.js';
import { IMAGE_ID } from './rig/commands.js';

/** A hundred times as fast as the wall clock: timeouts of guests take tenths of seconds. */
const FAST: Clock = {
  now: () => systemClock.now(),
  monotonic: () => systemClock.monotonic() * 100,
  sleep: (ms, signal) => systemClock.sleep(ms / 100, signal),
};

export interface ApplyRig {
  readonly world: FakeWorld;
  /** What the domain has now, and what its definition has. */
  facts(inactive?: boolean): Promise<DomainFacts>;
  /** One run of a command other than apply. */
  verb(body: CommandBody): Promise<Facts>;
  /** One run of the command; what it noted is seen by the next run with the same list. */
  run(change: RecordChange, notes?: string[]): Promise<Facts>;
  /** Sentences of what would be done. */
  plan: (change: RecordChange) => ReturnType<typeof planChange>;
  /** Called at every fault point; it may throw. */
  onFault: (name: string) => void;
  /** As after SIGKILL: every call fails until `revive`. */
  kill(): void;
  revive(): void;
  poolFiles(): string[];
}

export const IMAGE = { id: IMAGE_ID, format: 'qcow2', fileBytes: 1, virtualSizeBytes: 64 * MIB, sha256: '' } as const;

/** The executors on a fake host with one VM of `record`, running unless told otherwise. */
export async function startApplyRig(record: VmRecord, options: { start?: boolean } = {}): Promise<ApplyRig> {
  const world = createFakeWorld({ clock: FAST });
  let dead = false;
  const mortal = <T extends object>(target: T): T =>
    new Proxy(target, {
      get(object, key): unknown {
        const value: unknown = Reflect.get(object, key);
        if (typeof value !== 'function') return value;
        if (key === 'events') return value.bind(object);
        return (...args: unknown[]): unknown =>
          dead ? Promise.reject(new OstlerError('INTERNAL', 'killed')) : Reflect.apply(value, object, args);
      },
    });
  const hypervisor = mortal(world.hypervisor);
  const host = { ...world.host, files: mortal(world.host.files), qemuImg: mortal(world.host.qemuImg) };
  const log = silentLog;
  const pools = createPools({ pools: [{ name: 'default', path: '/pool' }], defaultPool: 'default' } as never, {
    ...{ hypervisor, host, log },
    clock: FAST,
  });
  await pools.ensureConfigured();
  world.files.set(`/pool/ostler-image-${IMAGE_ID}.qcow2`, makeQcow2(IMAGE.virtualSizeBytes));
  const about = { id: 'c0', operation: 'op-0', vmId: record.id, vmUuid: record.uuid, epoch: 1 };
  const noContext = (): CommandContext => ({
    signal: new AbortController().signal,
    progress: () => undefined,
    recorded: Promise.resolve(),
    notes: [],
    note: () => Promise.resolve(),
  });
  const rig: ApplyRig = {
    world,
    // Kind and body come from the same value, which the compiler does not follow.
    verb: (body) => executors[body.kind]({ ...about, body } as never, noContext()),
    onFault: () => undefined,
    kill: () => (dead = true),
    revive: () => (dead = false),
    facts: async (inactive = false) => readFacts(await world.hypervisor.domainXml(record.uuid, { inactive })),
    run: (change, notes = []) => {
      const command = { id: 'c1', operation: 'op-1', vmId: record.id, vmUuid: record.uuid, epoch: 1 };
      const context = {
        signal: new AbortController().signal,
        progress: () => undefined,
        recorded: Promise.resolve(),
        notes: [...notes],
        note: (text: string) => {
          if (dead) return Promise.reject(new OstlerError('INTERNAL', 'killed'));
          return Promise.resolve(void notes.push(text));
        },
      };
      return executors.apply({ ...command, body: { kind: 'apply', ...change } }, context);
    },
    plan: (change) => planChange(change, deps),
    poolFiles: () =>
      [...world.files.keys()].filter((path) => path.startsWith('/pool/') && !path.includes('image')).sort(),
  };
  const deps: DriverDeps = {
    ...{ hypervisor, host, pools, log },
    images: { ensure: () => Promise.resolve(), forget: () => Promise.resolve() },
    layout: createLayout('/data'),
    accelerator: createAccelerator('tcg', { host, log }),
    definitions: createDefinitions(hypervisor),
    intents: createIntents(),
    clock: FAST,
    fault: (name) => rig.onFault(name),
    defaultBridge: 'virbr0',
    qemuLogDirectory: '/log',
    closeConsoles: () => undefined,
  };
  const executors: Executors = createExecutors(deps);
  const images = [IMAGE];
  await rig.verb({ kind: 'provision', record, images });
  if (options.start !== false) await rig.verb({ kind: 'start', record, images });
  return rig;
}
