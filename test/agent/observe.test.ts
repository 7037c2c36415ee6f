import { once } from 'node:events';
import t from 'tap';
import { createIntents } from '../../agent/drivers/intents.js';
import { createObserver } from '../../agent/drivers/observe.js';
import type { HypervisorEvent } from '../../agent/hypervisor.js';
import type { AgentEvent } from '../../agent/outbox.js';
import { systemClock } from '../../proto/kit/clock.js';
import { silentLog } from '../../proto/kit/log.js';
import type { DomainReport } from '../../proto/model/host.js';
import { sampleRecord } from '../rig/records.js';
import { startApplyRig } from './apply-rig.js';

void t.test('what is seen of an end before its events have come is not taken for an end without reason', async (t) => {
  const record = sampleRecord();
  const { uuid } = record;
  const { world } = await startApplyRig(record);
  const told: HypervisorEvent[] = [
    { type: 'connected' },
    // Of a QEMU that ends, its agent's channel is the first that libvirt tells of.
    { type: 'guest-agent', uuid, name: record.id, connected: false },
    { type: 'lifecycle', uuid, name: record.id, event: 'crashed', detail: 'panicked' },
    { type: 'lifecycle', uuid, name: record.id, event: 'stopped', detail: 'crashed' },
  ];
  const seen: string[] = [];
  const hypervisor = new Proxy(world.hypervisor, {
    get(target, key): unknown {
      if (key !== 'events') return Reflect.get(target, key);
      return async function* () {
        for (const event of told) {
          if (event.type === 'guest-agent') await world.hypervisor.destroyDomain(uuid);
          yield await Promise.resolve(event);
          seen.push(event.type);
        }
      };
    },
  });
  const events: AgentEvent[] = [];
  const outbox = { add: (event: AgentEvent) => void events.push(event) };
  const observer = createObserver({
    ...{ hypervisor, intents: createIntents(), clock: systemClock, log: silentLog },
    outbox: outbox as never,
  });
  const reports: DomainReport[] = [];
  observer.onReport = (report) => void reports.push(report);
  await observer.run(new AbortController().signal);
  t.equal(seen.length, told.length);
  t.same(
    reports.map(({ state, exitCause }) => [state, exitCause]),
    [
      ['running', undefined],
      ['shutoff', 'guest-crash'],
    ],
  );
  t.match(events.at(-1), { kind: 'domain.stopped', metadata: { cause: 'guest-crash' } });
});

void t.test('an end of which libvirt never tells is noticed, and said to have been missed', async (t) => {
  const record = sampleRecord();
  const { uuid } = record;
  const { world } = await startApplyRig(record);
  const ending = new AbortController();
  const hypervisor = new Proxy(world.hypervisor, {
    get(target, key): unknown {
      if (key !== 'events') return Reflect.get(target, key);
      return async function* (signal: AbortSignal): AsyncGenerator<HypervisorEvent> {
        yield { type: 'connected' };
        await world.hypervisor.destroyDomain(uuid);
        await once(signal, 'abort');
      };
    },
  });
  const events: AgentEvent[] = [];
  const outbox = { add: (event: AgentEvent) => void events.push(event) };
  const fast = { ...systemClock, sleep: (ms: number, signal?: AbortSignal) => systemClock.sleep(ms / 500, signal) };
  const observer = createObserver({
    ...{ hypervisor, intents: createIntents(), clock: fast, log: silentLog },
    outbox: outbox as never,
  });
  const states: string[] = [];
  observer.onReport = ({ state }) => {
    states.push(state);
    if (state === 'shutoff') ending.abort();
  };
  await observer.run(AbortSignal.any([ending.signal, AbortSignal.timeout(10_000)]));
  t.same(states, ['running', 'shutoff']);
  t.match(events.at(-1), { kind: 'domain.stopped', metadata: { missed: 'true' } });
});
