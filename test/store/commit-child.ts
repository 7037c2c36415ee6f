/** Commits for durability.test.ts: once each between marks (`trace`), or in a loop until it is killed (`loop`). */
import { writeSync } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { systemClock } from '../../proto/kit/clock.js';
import { openEventLog } from '../../controller/store/event-log.js';
import { openStore } from '../../controller/store/lowdb.js';
import type { Write } from '../../controller/store/store.js';
import { aHost, anImage, aVm } from './documents.js';

const [, , mode = '', dataDir = ''] = process.argv;
await mkdir(dataDir, { recursive: true });
writeSync(2, 'MARK open\n');
const store = await openStore({ dataDir, settleMs: mode === 'trace' ? 60_000 : 20 });
const events = await openEventLog({ dataDir }, { clock: systemClock });

function anEvent(message: string) {
  return {
    kind: 'test',
    target: '',
    targetName: '',
    host: '',
    actor: '',
    message,
    operation: '',
    metadata: {},
  };
}

async function marked(name: string, work: () => Promise<unknown>): Promise<void> {
  writeSync(2, `MARK ${name}\n`);
  await work();
  writeSync(2, `MARK ${name}-done\n`);
}

if (mode === 'trace') {
  await marked('single', () => store.commit([{ kind: 'host', id: 'h-1', expect: 0, put: aHost(1) }]));
  await marked('multi', () =>
    store.commit([
      { kind: 'host', id: 'h-1', expect: 1, put: aHost(1) },
      { kind: 'vm', id: 'i-1', expect: 0, put: aVm(1) },
    ]),
  );
  await marked('remove', () => store.commit([{ kind: 'vm', id: 'i-1', expect: 2, remove: true }]));
  await marked('event', () => events.append(anEvent('one')));
  await marked('close', () => store.close());
} else {
  for (;;) {
    const before = store.get('vm', 'i-1');
    const count = (before?.value.updateTime ?? 0) + 1;
    const old = [...store.list('image')].map(({ id, revision }): Write => ({
      kind: 'image',
      id,
      expect: revision,
      remove: true,
    }));
    await store.commit([
      ...old,
      { kind: 'vm', id: 'i-1', expect: before?.revision ?? 0, put: aVm(1, { updateTime: count }) },
      { kind: 'host', id: 'h-1', expect: store.get('host', 'h-1')?.revision ?? 0, put: aHost(1, { seenTime: count }) },
      { kind: 'image', id: `img-${count}`, expect: 0, put: anImage(1) },
    ]);
    writeSync(1, `vm ${count}\n`);
    await events.append(anEvent(String(count)));
    writeSync(1, `event ${count}\n`);
  }
}
