import t from 'tap';
import { createFacts } from '../../agent/drivers/facts.js';
import { createFakeWorld } from '../../agent/fake/world.js';
import type { Pool } from '../../agent/drivers/pools.js';
import { systemClock } from '../../proto/kit/clock.js';
import { silentLog } from '../../proto/kit/log.js';

void t.test('facts that were asked for earlier and come later do not replace newer ones', async (t) => {
  const { hypervisor, host } = createFakeWorld({ clock: systemClock });
  const answers: ((active: boolean) => void)[] = [];
  const pool = { name: 'local', type: 'dir', path: '/p', capacityBytes: 1, availableBytes: 1 };
  const pools = {
    defaultPool: 'local',
    ensureConfigured: () => Promise.resolve(),
    directories: () => Promise.resolve([]),
    list: () =>
      new Promise<readonly Pool[]>((resolve) => {
        answers.push((active) => resolve([{ ...pool, active, shared: false, domain: '', directIo: true }]));
      }),
  };
  const accelerator = { choose: () => Promise.resolve({ accelerator: 'tcg', reason: '' } as const) };
  const stop = new AbortController();
  for await (const { type } of hypervisor.events(stop.signal)) if (type === 'connected') break;
  const facts = createFacts(
    { defaultBridge: '', agentVersion: '0' },
    { hypervisor, host, pools, accelerator, clock: systemClock, log: silentLog },
  );
  const early = facts.current();
  const late = facts.current();
  while (answers.length < 2) await new Promise((resolve) => setImmediate(resolve));
  answers[1]?.(true);
  t.equal((await late).pools[0]?.active, true);
  answers[0]?.(false);
  t.equal((await early).pools[0]?.active, true, 'what is told last is what was asked last');
  stop.abort();
});
