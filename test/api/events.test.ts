import t from 'tap';
import type { ostler } from '../../proto/gen/ostler.js';
import { eventService, vmService } from '../../proto/services.js';
import { blankVm, startRig } from './rig.js';

const rig = await startRig({ hosts: 1 });
t.teardown(() => rig.close());
const vms = rig.client(vmService);
const events = rig.client(eventService);

async function make(name: string): Promise<void> {
  await rig.finished(await vms.createVm(blankVm(name)));
}

interface Watch {
  /** The next event; fails after 5 s. */
  next(): Promise<ostler.v1.Event>;
  stop(): void;
}

function watch(request: ostler.v1.WatchEventsRequest.$Properties): Watch {
  const abort = new AbortController();
  const stream = events.watchEvents(request, { signal: abort.signal })[Symbol.asyncIterator]();
  // Asked for at once: the call goes out with the first question, and calls of one connection arrive in order.
  let pending = stream.next();
  pending.catch(() => undefined);
  return {
    next: async () => {
      const late = new Promise<never>((_, reject) => {
        setTimeout(() => reject(new Error('no event within 5 s')), 5_000).unref();
      });
      const result = await Promise.race([pending, late]);
      if (result.done === true) throw new Error('the stream ended');
      pending = stream.next();
      pending.catch(() => undefined);
      return result.value;
    },
    stop: () => abort.abort(),
  };
}

const CREATED = 'kind=audit.vm.create';

void t.test('a watch goes on after its last event: none is missed, none comes twice', async (t) => {
  const first = watch({ filter: CREATED });
  // From now: the server has the call before the VM is made.
  await make('before');
  const seen = [await first.next()];
  t.match(seen[0], { targetName: /.*/, actor: 'root', kind: 'audit.vm.create' });
  first.stop();
  for (const name of ['while-away-1', 'while-away-2']) await make(name);
  const second = watch({ filter: CREATED, resumeToken: seen[0]?.resumeToken ?? '' });
  seen.push(await second.next(), await second.next());
  await make('live');
  seen.push(await second.next());
  second.stop();
  const all = (await events.listEvents({ filter: CREATED })).events;
  t.same(
    seen.map(({ id }) => id),
    all.map(({ id }) => id).reverse(),
  );
  t.equal(new Set(seen.map(({ id }) => id)).size, 4);
  const tokens = seen.map(({ resumeToken }) => resumeToken);
  t.equal(new Set(tokens).size, 4, 'each event has a place of its own');
  // The same place twice gives the same.
  const third = watch({ filter: CREATED, resumeToken: tokens[1] ?? '' });
  t.equal((await third.next()).id, seen[2]?.id);
  third.stop();
});

void t.test('two watchers and a filter: each sees its own', async (t) => {
  const one = watch({ filter: 'kind=vm.created' });
  const other = watch({ filter: 'kind:vm.cre message:filtered' });
  await make('filtered');
  t.equal((await one.next()).kind, 'vm.created');
  t.match((await other.next()).message, /filtered/);
  one.stop();
  other.stop();
});

void t.test('tokens that are none, filters that are none', async (t) => {
  await t.rejects(watch({ resumeToken: 'nonsense' }).next(), { code: 'BAD_TOKEN', field: 'resume_token' });
  const { events: page, nextPageToken } = await events.listEvents({ pageSize: 1 });
  await t.rejects(watch({ resumeToken: nextPageToken }).next(), { code: 'BAD_TOKEN' }, 'a page is no place to watch');
  await t.rejects(events.listEvents({ pageToken: page[0]?.resumeToken ?? '' }), { code: 'BAD_TOKEN' });
  await t.rejects(watch({ filter: 'colour=red' }).next(), { code: 'INVALID_FIELD', field: 'filter' });
  const anonymous = rig.client(eventService, '').watchEvents({})[Symbol.asyncIterator]();
  await t.rejects(anonymous.next(), { code: 'UNAUTHENTICATED' });
});

void t.test('pages of events, newest first, hold together while new ones come', async (t) => {
  const all = (await events.listEvents({ pageSize: 1000 })).events.map(({ id }) => id);
  const paged: string[] = [];
  let pageToken = '';
  do {
    const page = await events.listEvents({ pageSize: 3, pageToken });
    paged.push(...page.events.map(({ id }) => id ?? ''));
    pageToken = page.nextPageToken;
    if (paged.length === 3) await make('in-between');
  } while (pageToken !== '');
  t.same(paged, all);
});
