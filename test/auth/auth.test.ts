import { mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { PUBLIC_SERVICES, RULES } from '../../controller/auth/rules.js';
import { addressOf, createThrottle } from '../../controller/auth/throttle.js';
import { createTickets, TICKET_LIFE_MS } from '../../controller/auth/tickets.js';
import { createTokens, ensureAdminToken } from '../../controller/auth/tokens.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import { systemClock } from '../../proto/kit/clock.js';
import { OstlerError } from '../../proto/kit/errors.js';
import { ostler } from '../../proto/gen/ostler.js';
import { adminService, vmService } from '../../proto/services.js';
import type { Methods, Service } from '../../proto/service.js';
import { startRig } from '../api/rig.js';

function aClock(): typeof systemClock & { ms: number } {
  const clock = { ms: 1_000_000, now: () => clock.ms, monotonic: () => clock.ms, sleep: () => Promise.resolve() };
  return clock;
}

void t.test('tokens: form, hash only in the store, end, last administrator', async (t) => {
  const store = createMemoryStore();
  const clock = aClock();
  const tokens = createTokens({ store, clock });
  const { secret } = await tokens.create({ name: 'ann', role: 'admin', ttlSeconds: 0 });
  t.match(secret, /^ost_[A-Za-z0-9_-]{43}$/);
  t.notMatch(JSON.stringify([...store.list('token')]), secret);
  t.equal(tokens.verify(secret)?.name, 'ann');
  t.equal(tokens.lastUsed('ann'), clock.ms);
  for (const wrong of ['', 'ost_', secret.slice(0, -1), `${secret}x`, secret.toUpperCase(), `ost_${'A'.repeat(43)}`])
    t.equal(tokens.verify(wrong), undefined, wrong);
  const short = await tokens.create({ name: 'bob', role: 'viewer', ttlSeconds: 60 });
  await t.rejects(tokens.create({ name: 'bob', role: 'viewer', ttlSeconds: 0 }), { code: 'ALREADY_EXISTS' });
  clock.ms += 60_000;
  t.equal(tokens.verify(short.secret), undefined, 'past its end');
  await tokens.create({ name: 'bob', role: 'viewer', ttlSeconds: 0 });
  for (const name of ['', 'A', 'a b', '../x', 'controller', 'x'.repeat(64)])
    await t.rejects(tokens.create({ name, role: 'viewer', ttlSeconds: 0 }), { code: 'INVALID_FIELD', field: 'name' });
  await t.rejects(tokens.remove('ann'), { code: 'WRONG_STATE' });
  await t.rejects(tokens.remove('nobody'), { code: 'NOT_FOUND' });
  await tokens.create({ name: 'eve', role: 'admin', ttlSeconds: 0 });
  await tokens.remove('ann');
  t.equal(tokens.verify(secret), undefined);
});

void t.test('the first admin token: made once, 0600, taken again when the store is lost', async (t) => {
  const folder = await mkdtemp('/tmp/ostler-token.');
  t.teardown(() => rm(folder, { recursive: true }));
  const path = join(folder, 'admin.token');
  const store = createMemoryStore();
  t.equal(await ensureAdminToken(path, { store, clock: systemClock }), 'created');
  const secret = (await readFile(path, 'utf8')).trim();
  t.equal((await stat(path)).mode & 0o777, 0o600);
  t.equal(createTokens({ store, clock: systemClock }).verify(secret)?.role, 'admin');
  t.equal(await ensureAdminToken(path, { store, clock: systemClock }), 'present');
  const lost = createMemoryStore();
  t.equal(await ensureAdminToken(path, { store: lost, clock: systemClock }), 'restored');
  t.equal(createTokens({ store: lost, clock: systemClock }).verify(secret)?.role, 'admin');
  await writeFile(path, 'something else');
  await t.rejects(ensureAdminToken(path, { store: createMemoryStore(), clock: systemClock }), {
    code: 'INVALID_FIELD',
  });
});

void t.test('tickets: one use, 30 seconds, one VM', async (t) => {
  const clock = aClock();
  const tickets = createTickets({ clock });
  const grant = { vmId: 'i-1', kind: 'vnc', actor: 'ann' } as const;
  const { ticket } = tickets.issue(grant);
  t.same(tickets.redeem(ticket, 'i-1'), grant);
  const spent = { code: 'TICKET_SPENT' };
  t.equal(tickets.refusal(ticket)?.message, 'This console ticket was used already.');
  t.throws(() => tickets.redeem(ticket, 'i-1'), { ...spent, message: /used already/ });
  const other = tickets.issue(grant).ticket;
  t.equal(tickets.refusal(other), undefined, 'good');
  t.throws(() => tickets.redeem(other, 'i-2'), { ...spent, message: /another VM/ });
  t.throws(() => tickets.redeem(other, 'i-1'), spent, 'and spent by the attempt');
  const late = tickets.issue(grant).ticket;
  clock.ms += TICKET_LIFE_MS;
  t.throws(() => tickets.redeem(late, undefined), { ...spent, message: /older than 30 seconds/ });
  t.throws(() => tickets.redeem('', undefined), { ...spent, message: /does not know/ });
  tickets.noteRefusal(ticket, new OstlerError('HOST_UNREACHABLE', 'h1 is away.'));
  tickets.noteRefusal('guess', new OstlerError('HOST_UNREACHABLE', 'h1 is away.'));
  t.equal(tickets.refusal(ticket)?.message, 'h1 is away.', 'the last visit decides');
  t.match(tickets.refusal('guess'), spent);
  clock.ms += 300_000;
  const { ticket: newest } = tickets.issue(grant);
  t.match(tickets.refusal(ticket)?.message, /does not know/, 'forgotten');
  for (let n = 0; n < 10_000; n += 1) tickets.issue(grant);
  t.match(tickets.refusal(newest)?.message, /does not know/, 'memory is bounded');
  await Promise.resolve();
});

void t.test('throttle: more than a few failures of an address are answered late; others are not held up', async (t) => {
  const slept: number[] = [];
  const clock = { ...aClock(), sleep: (ms: number) => Promise.resolve(void slept.push(ms)) };
  const throttle = createThrottle({ burst: 3, windowMs: 1000, delayMs: 500, heldMax: 2 }, { clock });
  const { signal } = new AbortController();
  for (let n = 0; n < 3; n += 1) t.equal((await throttle.failed(`10.0.0.1:${n}`, signal)).limited, false);
  t.equal((await throttle.failed('10.0.0.1:9', signal)).limited, true);
  t.same(slept, [500]);
  t.equal((await throttle.failed('10.0.0.2:9', signal)).limited, false);
  t.equal(addressOf('ipv6:[::1]:5'), addressOf('[::1]:77'));
});

void t.test('every method has a rule, and roles hold over gRPC', async (t) => {
  const rig = await startRig();
  t.teardown(() => rig.close());
  const rank = { none: 0, viewer: 1, operator: 2, admin: 3 } as const;
  for (const [key, service] of Object.entries(PUBLIC_SERVICES)) {
    const rules = RULES[key as keyof typeof RULES] as Record<string, { role: keyof typeof rank }>;
    t.same(Object.keys(rules).sort(), Object.keys(service.methods).sort(), key);
    for (const [role, secret] of [
      ['none', ''],
      ['viewer', rig.tokens.viewer],
      ['operator', rig.tokens.operator],
      ['admin', rig.tokens.admin],
    ] as const) {
      const client = rig.client(service as Service<Methods>, secret) as unknown as Record<
        string,
        (request: object) => Promise<unknown>
      >;
      for (const [name, { kind }] of Object.entries(service.methods)) {
        if (kind !== 'unary' || name === 'rebuild' || name === 'deleteApiToken') continue;
        const code = await (client[name]?.({}) ?? Promise.resolve()).then(
          () => 'ok',
          (error: unknown) => (error as { code: string }).code,
        );
        const needed = rules[name]?.role ?? 'none';
        if (rank[role] >= rank[needed]) t.notMatch(code, /UNAUTHENTICATED|PERMISSION_DENIED/, `${role} ${name}`);
        else t.equal(code, role === 'none' ? 'UNAUTHENTICATED' : 'PERMISSION_DENIED', `${role} ${name}`);
      }
    }
  }
});

void t.test(
  'a person without a token gets UNAUTHENTICATED; whoAmI tells who; a deleted token ends at once',
  async (t) => {
    const rig = await startRig();
    t.teardown(() => rig.close());
    for (const secret of ['', 'ost_wrong', `ost_${'A'.repeat(43)}`])
      await t.rejects(rig.client(vmService, secret).listVms({}), { code: 'UNAUTHENTICATED' });
    const admin = rig.client(adminService);
    t.match(await admin.whoAmI({}), { name: 'root', role: 3 });
    const made = await admin.createApiToken({ name: 'temp', role: ostler.v1.Role.VIEWER, ttlSeconds: 3600 });
    const temp = rig.client(adminService, made.token);
    t.match(await temp.whoAmI({}), { name: 'temp', role: 1 });
    t.ok((await admin.listApiTokens({})).apiTokens.some(({ name }) => name === 'temp'));
    await admin.deleteApiToken({ name: 'temp' });
    await t.rejects(temp.whoAmI({}), { code: 'UNAUTHENTICATED' });
    await t.rejects(admin.createApiToken({ name: 'x' }), { code: 'INVALID_FIELD', field: 'role' });
    t.notMatch(
      JSON.stringify(rig.deps.events.list({ beforeSequence: 0, limit: 100, matches: () => true })),
      made.token,
    );
  },
);
