import t from 'tap';
import type { Command, CommandContext } from '../../agent/command.js';
import type { DriverDeps } from '../../agent/drivers/deps.js';
import { start } from '../../agent/drivers/start.js';
import { createFakeWorld } from '../../agent/fake/world.js';
import { createLayout } from '../../agent/layout.js';
import { systemClock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { noFaults } from '../../proto/kit/fault.js';
import { silentLog } from '../../proto/kit/log.js';
import { sampleRecord } from '../rig/records.js';

const sample = sampleRecord();
const record = {
  ...sample,
  spec: { ...sample.spec, disks: [], cloudInit: { ...sample.spec.cloudInit, enabled: false } },
};
const command: Command<'start'> = {
  ...{ id: 'c1', operation: 'o1', vmId: record.id, vmUuid: record.uuid, epoch: 1 },
  body: { kind: 'start', record, images: [] },
};

/** The real driver; every call that changes something is written down. */
function depsThatTell(acts: string[]): DriverDeps {
  const world = createFakeWorld({ clock: systemClock });
  const telling = <T extends object>(target: T, names: readonly string[]): T =>
    new Proxy(target, {
      get: (inner, key) => {
        const value: unknown = Reflect.get(inner, key);
        if (!names.includes(String(key))) return value;
        return (...args: unknown[]): unknown => {
          acts.push(String(key));
          return (value as (...args: unknown[]) => unknown)(...args);
        };
      },
    });
  const files = telling(world.host.files, ['makeDirectory', 'writeAtomic', 'remove']);
  const hypervisor = telling(world.hypervisor, ['createDomain']);
  const parts: Partial<DriverDeps> = {
    hypervisor,
    host: { ...world.host, files },
    pools: { list: () => Promise.resolve([]), defaultPool: '' } as unknown as DriverDeps['pools'],
    layout: createLayout('/var/lib/ostler-agent'),
    accelerator: { choose: () => Promise.resolve({ accelerator: 'tcg', reason: '' }) },
    definitions: {
      isCurrent: () => Promise.resolve(false),
      ensure: () => Promise.resolve(),
      define: async (_uuid, xml) => {
        acts.push('define');
        await hypervisor.defineDomain(xml);
      },
    },
    intents: { set: () => undefined, of: () => 'none' } as unknown as DriverDeps['intents'],
    ...{ clock: systemClock, log: silentLog, fault: noFaults, defaultBridge: 'br0' },
  };
  return parts as DriverDeps;
}

function contextWith(recorded: Promise<void>): CommandContext {
  return {
    signal: new AbortController().signal,
    recorded,
    progress: () => undefined,
    notes: [],
    note: () => Promise.resolve(),
  };
}

void t.test('nothing is made, defined or started before the order is in the journal', async (t) => {
  const acts: string[] = [];
  let flushed: () => void = () => undefined;
  const recorded = new Promise<void>((resolve) => (flushed = resolve));
  const done = start(command, contextWith(recorded), depsThatTell(acts));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.same(acts, []);
  flushed();
  await done;
  t.same(acts, ['makeDirectory', 'define', 'createDomain']);
});

void t.test('an order that is not in the journal is not followed', async (t) => {
  const acts: string[] = [];
  const recorded = Promise.reject(new OstlerError('STORAGE_FULL', 'No room.'));
  recorded.catch(() => undefined);
  await t.rejects(start(command, contextWith(recorded), depsThatTell(acts)), { code: 'STORAGE_FULL' });
  t.same(acts, []);
});
