import { Server, ServerCredentials } from '@grpc/grpc-js';
import fc from 'fast-check';
import t, { type Test } from 'tap';
import type { ClientDuplexStream } from '@grpc/grpc-js';
import { ostler } from '../../proto/gen/ostler.js';
import { isCode, OstlerError } from '../../proto/kit/errors.js';
import { silentLog } from '../../proto/kit/log.js';
import { systemClock } from '../../proto/kit/clock.js';
import { vmRecordToWire } from '../../proto/convert.js';
import { toGrpcDefinition } from '../../proto/service.js';
import { agentLink } from '../../proto/services.js';
import { createLinkServer } from '../../controller/agents/link-server.js';
import { createRegistry, type Registry } from '../../controller/agents/registry.js';
import type { CommandOutcome } from '../../controller/core/operations/machine.js';
import { createMemoryEventLog } from '../../controller/store/event-memory.js';
import { createMemoryStore } from '../../controller/store/memory.js';
import type { EventLog } from '../../controller/engine/env.js';
import type { Store } from '../../controller/store/store.js';
import { messagesNamed, oneOfEach } from '../rig/random-messages.js';
import { aHost, aRecord, id, uuid } from '../store/documents.js';
import { aHello, connectAgent, type AgentClient } from './agent-client.js';

const { DomainState } = ostler.v1;
const H1 = id('h', 1);

interface Bench {
  readonly registry: Registry;
  readonly store: Store;
  readonly events: EventLog;
  readonly address: string;
  /** The host that the next caller's certificate names; undefined: it has none. */
  caller: string | undefined;
  connect(hello?: ReturnType<typeof aHello>): Promise<AgentClient>;
}

async function aBench(test: Test): Promise<Bench> {
  const store = createMemoryStore();
  const events = createMemoryEventLog({}, { clock: systemClock });
  for (const n of [1, 2]) await store.commit([{ kind: 'host', id: id('h', n), expect: 0, put: aHost(n) }]);
  const registry = createRegistry({ silentAfterMs: 300 }, { store, events, clock: systemClock, log: silentLog });
  const stop = new AbortController();
  const running = registry.run(stop.signal);
  const server = new Server();
  const agents: AgentClient[] = [];
  const handlers = createLinkServer(
    { controllerId: 'c1' },
    {
      registry,
      clock: systemClock,
      log: silentLog,
      hostName: (hostId) => store.get('host', hostId)?.value.name,
      identify: () => {
        if (bench.caller === undefined) throw new OstlerError('UNAUTHENTICATED', 'No certificate.');
        return { hostId: bench.caller };
      },
      // eslint-disable-next-line @typescript-eslint/require-await -- an image has its bytes at hand here
      openImage: async function* (image, offset) {
        if (image !== id('img', 1)) throw new OstlerError('NOT_FOUND', 'There is no such image.');
        yield Buffer.alloc(3 * 1024 * 1024, 7).subarray(offset);
      },
      renewCertificate: (hostId, csr) => Promise.resolve({ certificatePem: `${hostId} ${csr}`, caPem: 'ca' }),
    },
  );
  server.addService(toGrpcDefinition(agentLink), handlers);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, bound) => {
      if (error === null) resolve(bound);
      else reject(error);
    });
  });
  const bench: Bench = {
    registry,
    store,
    events,
    address: `127.0.0.1:${port}`,
    caller: H1,
    connect: async (hello = aHello(H1)) => {
      const agent = connectAgent(bench.address, hello);
      agents.push(agent);
      await agent.next('welcome');
      return agent;
    },
  };
  test.teardown(async () => {
    stop.abort();
    await running;
    for (const agent of agents) agent.close();
    server.forceShutdown();
  });
  return bench;
}

async function until(what: () => boolean): Promise<void> {
  for (let tries = 0; tries < 300; tries += 1) {
    if (what()) return;
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
  throw new Error(`never: ${what.toString()}`);
}

void t.test('hello, welcome, facts and inventory; the host is online and its record has the facts', async (t) => {
  const bench = await aBench(t);
  const domain = {
    uuid: uuid(1),
    name: 'web1',
    state: DomainState.DOMAIN_RUNNING,
    managed: true,
    vmId: id('i', 1),
    epoch: 3,
  };
  const agent = await bench.connect(aHello('h1', { inventory: { hypervisorConnected: true, domains: [domain] } }));
  t.equal(agent.received[0]?.body, 'welcome', 'nothing comes before the welcome');
  t.equal(agent.received[0]?.welcome?.controllerId, 'c1');
  const view = bench.registry.view(H1);
  t.equal(view?.online, true);
  t.equal(view?.domains?.get(uuid(1))?.state, 'running');
  t.equal(view?.facts?.cpus, 4);
  await until(() => bench.store.get('host', H1)?.value.facts !== undefined);
  await until(() => bench.events.list({ beforeSequence: 0, limit: 1, matches: () => true }).length === 1);
  agent.send({ domainReport: { ...domain, state: DomainState.DOMAIN_SHUTOFF, reason: 'shutdown' } });
  await until(() => bench.registry.view(H1)?.domains?.get(uuid(1))?.state === 'shutoff');
});

void t.test('who may not speak gets nothing', async (t) => {
  const bench = await aBench(t);
  const refused = async (hello: ReturnType<typeof aHello> | undefined, first?: Parameters<AgentClient['send']>[0]) => {
    const agent = connectAgent(bench.address, hello);
    if (first !== undefined) agent.send(first);
    const why = await agent.ended;
    t.same(agent.received, []);
    agent.close();
    return why;
  };
  t.match(await refused(aHello(id('h', 2))), { code: 'PERMISSION_DENIED', field: 'hello.host' });
  t.match(await refused(aHello(H1, { protocolVersion: 7 })), { code: 'UNSUPPORTED' });
  t.match(await refused(undefined, { heartbeat: { sequence: 1 } }), { code: 'INVALID_FIELD', field: 'hello' });
  bench.caller = undefined;
  t.match(await refused(aHello(H1)), { code: 'UNAUTHENTICATED' });
  t.equal(bench.registry.view(H1), undefined);
  const { client } = connectAgent(bench.address, undefined);
  await t.rejects(client.renewCertificate({ csrPem: 'x' }), { code: 'UNAUTHENTICATED' });
  client.close();
});

void t.test('a newer link of the same host takes the place of the older', async (t) => {
  const bench = await aBench(t);
  const first = await bench.connect();
  const link = bench.registry.view(H1)?.link ?? 0;
  const second = await bench.connect();
  t.match(await first.ended, { code: 'CANCELLED', message: /newer link/ });
  t.equal(bench.registry.view(H1)?.online, true);
  t.equal(bench.registry.view(H1)?.link, link + 1);
  bench.registry.send(H1, { id: 'c', forgetImage: { image: 'x' } });
  t.equal((await second.next('command')).id, 'c');
});

void t.test('silence: unreachable with since when, and back again with the next heartbeat', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  agent.send({ heartbeat: { sequence: 5, sentMonotonicMs: 77, hypervisorConnected: true } });
  t.match(await agent.next('heartbeatAck'), { sequence: 5, sentMonotonicMs: 77 });
  await until(() => bench.registry.view(H1)?.online === false);
  t.match(bench.registry.view(H1)?.reason, /^does not answer since \d{4}-/);
  agent.send({ heartbeat: { sequence: 6, hypervisorConnected: false, hypervisorReason: 'no socket' } });
  await until(() => bench.registry.view(H1)?.online === true);
  t.equal(bench.registry.view(H1)?.hypervisorReason, 'no socket');
  agent.close();
  await until(() => bench.registry.view(H1)?.online === false);
  t.match(bench.registry.view(H1)?.reason, /is not connected since/);
  t.throws(() => bench.registry.send(H1, { id: 'c' }), { code: 'HOST_UNREACHABLE', metadata: { host: 'h1' } });
  t.throws(() => bench.registry.send(id('h', 2), { id: 'c' }), {
    code: 'HOST_UNREACHABLE',
    message: /has not connected/,
  });
  await until(() => bench.events.list({ beforeSequence: 0, limit: 9, matches: () => true }).length >= 4);
  const kinds = bench.events.list({ beforeSequence: 0, limit: 9, matches: () => true }).map((event) => event.kind);
  t.same(kinds.reverse(), ['host.online', 'host.unreachable', 'host.online', 'host.unreachable']);
});

void t.test('commands, progress, results and their acknowledgement', async (t) => {
  const bench = await aBench(t);
  const results: [string, string, CommandOutcome][] = [];
  const progress: string[] = [];
  bench.registry.subscribe({
    onResult: (...result) => void results.push(result),
    onProgress: (_host, command, { percent, detail }) => void progress.push(`${command} ${percent} ${detail}`),
    onChange: () => undefined,
  });
  const agent = await bench.connect();
  bench.registry.send(H1, { id: 'op/start/1', start: { record: vmRecordToWire(aRecord(1)), images: [] } });
  t.equal((await agent.next('command')).start?.record?.name, 'web1');
  agent.send({ commandProgress: { command: 'op/start/1', percent: 40, detail: 'booting' } });
  agent.send({
    commandResult: { command: 'op/start/1', ok: true, domain: { uuid: uuid(1), state: DomainState.DOMAIN_RUNNING } },
  });
  agent.send({
    commandResult: { command: 'op/x/1', ok: false, error: { reason: 'STORAGE_FULL', message: 'No room.' } },
  });
  await until(() => results.length === 2);
  t.same(progress, ['op/start/1 40 booting']);
  t.match(results[0], [H1, 'op/start/1', { ok: true, domain: { state: 'running' } }]);
  t.equal(bench.registry.view(H1)?.domains?.get(uuid(1))?.state, 'running', 'known before the result is told');
  t.match(results[1]?.[2], { ok: false, error: { code: 'STORAGE_FULL', message: 'No room.' } });
  bench.registry.acknowledge(H1, 'op/start/1');
  t.equal((await agent.next('resultAck')).command, 'op/start/1');
  bench.registry.cancel(H1, 'op/y/1');
  t.equal((await agent.next('cancelCommand')).command, 'op/y/1');
});

void t.test('events: each once, on record before it is acknowledged', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  const event = (sequence: number) => ({
    event: { sequence, time: { seconds: sequence }, kind: 'domain.stopped', vmId: id('i', 1), message: `m${sequence}` },
  });
  for (const sequence of [1, 2, 2, 3, 1]) agent.send(event(sequence));
  const acknowledged: number[] = [];
  for (let count = 0; count < 5; count += 1) {
    const { sequence } = await agent.next('eventAck');
    acknowledged.push(sequence ?? 0);
    t.ok(
      (bench.store.get('host', H1)?.value.eventSequence ?? 0) >= (sequence ?? 0),
      'stored before the acknowledgement',
    );
  }
  t.same(acknowledged, [1, 2, 2, 3, 1]);
  const again = await bench.connect();
  again.send(event(3));
  again.send(event(4));
  t.equal((await again.next('eventAck')).sequence, 3);
  t.equal((await again.next('eventAck')).sequence, 4);
  const kept = bench.events.list({ beforeSequence: 0, limit: 99, matches: (one) => one.kind === 'domain.stopped' });
  t.same(kept.map((one) => one.message).reverse(), ['m1', 'm2', 'm3', 'm4']);
  t.equal(kept[0]?.actor, 'host:h1');
});

void t.test('queries: answers, refusals, a record that cannot be read, a link that ends', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  const { signal } = new AbortController();
  const inspect = bench.registry.inspect(H1, uuid(1), signal);
  let query = await agent.next('query');
  agent.send({ queryResult: { query: query.id ?? '', live: { domainState: 'running', vcpus: 2 } } });
  t.match(await inspect, { domainState: 'running', vcpus: 2, cpuTimeNs: 0 });
  const refused = bench.registry.inspect(H1, uuid(1), signal);
  query = await agent.next('query');
  agent.send({ queryResult: { query: query.id ?? '', error: { reason: 'NOT_FOUND', message: 'No such domain.' } } });
  await t.rejects(refused, { code: 'NOT_FOUND' });
  const list = bench.registry.listRecords(H1, signal);
  query = await agent.next('query');
  const records = [vmRecordToWire(aRecord(1)), { ...vmRecordToWire(aRecord(2)), name: '-bad-' }];
  agent.send({ queryResult: { query: query.id ?? '', records: { records, unreadable: { x: 'why' }, domains: [] } } });
  const listed = await list;
  t.same(
    listed.records.map((record) => record.name),
    ['web1'],
  );
  t.match(listed.unreadable, { x: 'why', [id('i', 2)]: /name/ });
  const cut = bench.registry.inspect(H1, uuid(1), signal);
  await agent.next('query');
  agent.close();
  await t.rejects(cut, { code: 'HOST_UNREACHABLE' });
  const stop = new AbortController();
  const other = await bench.connect();
  const left = bench.registry.inspect(H1, uuid(1), stop.signal);
  await other.next('query');
  stop.abort(new OstlerError('CANCELLED', 'gone'));
  await t.rejects(left, { code: 'CANCELLED' });
});

type Frame = ostler.v1.TunnelFrame.$Properties;

void t.test('a tunnel: bytes both ways with backpressure, its end, and only for the host that was asked', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  const { signal } = new AbortController();
  const opening = bench.registry.openTunnel(H1, uuid(1), 'serial', signal);
  const query = await agent.next('query');
  const tunnel = query.openTunnel?.tunnel ?? '';
  t.ok(tunnel.length >= 32, 'an id that cannot be guessed');
  bench.caller = id('h', 2);
  const stranger = agent.client.tunnel() as unknown as ClientDuplexStream<Frame, Frame>;
  const denied = new Promise((resolve) => stranger.on('error', resolve));
  stranger.on('data', () => undefined);
  stranger.write({ tunnel });
  t.match(((await denied) as Error).message, /Nobody waits/);
  bench.caller = H1;
  agent.send({ queryResult: { query: query.id ?? '', tunnelOpened: {} } });
  const stream = agent.client.tunnel() as unknown as ClientDuplexStream<Frame, Frame>;
  stream.on('error', () => undefined);
  stream.write({ tunnel, data: Buffer.from('history') });
  stream.write({ replayedEnd: true });
  const duplex = await opening;
  t.equal(String((await once(duplex, 'data')) as Buffer), 'history');
  duplex.pause();

  // Down: a megabyte arrives whole although the other end reads it late.
  const sent = Buffer.from(Array.from({ length: 1024 * 1024 }, (_, index) => index % 251));
  duplex.write(sent);
  const got: Buffer[] = [];
  stream.on('data', (frame: Frame) => void got.push(Buffer.from(frame.data ?? [])));
  await until(() => Buffer.concat(got).length === sent.length);
  t.ok(Buffer.concat(got).equals(sent));

  // Up: while nobody reads, the sender is held back.
  let written = 0;
  const block = Buffer.alloc(256 * 1024, 1);
  while (stream.write({ data: block }) && written < 400) written += 1;
  let flowing = false;
  stream.once('drain', () => (flowing = true));
  for (let more = 0; more < 40; more += 1) stream.write({ data: block });
  await new Promise((resolve) => setTimeout(resolve, 200));
  t.equal(flowing, false, 'held back');
  let received = 0;
  duplex.on('data', (chunk: Buffer) => (received += chunk.length));
  duplex.resume();
  await until(() => received === (written + 1 + 40) * block.length);
  const closed = new Promise((resolve) => duplex.once('close', resolve));
  stream.end();
  await closed;
  t.equal(duplex.writable, false, 'the end of one side ends both');
});

function once(emitter: NodeJS.EventEmitter, name: string): Promise<unknown> {
  return new Promise((resolve) => emitter.once(name, resolve));
}

void t.test('a tunnel that the agent refuses, breaks with an error, or never opens', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  const { signal } = new AbortController();
  const refused = bench.registry.openTunnel(H1, uuid(1), 'vnc', signal);
  const { id: query } = await agent.next('query');
  agent.send({ queryResult: { query: query ?? '', error: { reason: 'WRONG_STATE', message: 'It is off.' } } });
  await t.rejects(refused, { code: 'WRONG_STATE' });
  const broken = bench.registry.openTunnel(H1, uuid(1), 'vnc', signal);
  const { openTunnel } = await agent.next('query');
  const stream = agent.client.tunnel() as unknown as ClientDuplexStream<Frame, Frame>;
  stream.on('error', () => undefined);
  stream.on('data', () => undefined);
  stream.write({ tunnel: openTunnel?.tunnel ?? '' });
  const duplex = await broken;
  const failed = once(duplex, 'error');
  duplex.resume();
  stream.write({ error: { reason: 'HYPERVISOR_ERROR', message: 'QEMU went away.' } });
  t.match(await failed, { code: 'HYPERVISOR_ERROR' });
  const stop = new AbortController();
  const left = bench.registry.openTunnel(H1, uuid(1), 'vnc', stop.signal);
  stop.abort(new OstlerError('CANCELLED', 'gone'));
  await t.rejects(left, { code: 'CANCELLED' });
});

void t.test('metrics, images in chunks, certificates', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  agent.send({ metrics: { host: { cpuPercent: 12 }, vms: { [uuid(1)]: { cpuPercent: 50 } } } });
  agent.send({ metrics: { host: { cpuPercent: 13 }, vms: {} } });
  await until(() => bench.registry.view(H1)?.usage?.cpuPercent === 13);
  t.equal(bench.registry.view(H1)?.vmUsage.size, 0, 'a VM that is not in the batch does not run here');
  t.equal(bench.registry.metrics.hostHistory(H1).length, 2);
  let bytes = 0;
  for await (const { chunk } of agent.client.fetchImage({ image: id('img', 1), offset: 100 })) {
    t.ok(chunk.length <= 1024 * 1024);
    bytes += chunk.length;
  }
  t.equal(bytes, 3 * 1024 * 1024 - 100);
  const missing = agent.client
    .fetchImage({ image: id('img', 2), offset: 0 })
    [Symbol.asyncIterator]()
    .next();
  await t.rejects(missing, { code: 'NOT_FOUND' });
  t.match(await agent.client.renewCertificate({ csrPem: 'csr' }), { certificatePem: `${H1} csr`, caPem: 'ca' });
});

void t.test('a message that cannot be read is dropped, the link goes on; disconnect ends it', async (t) => {
  const bench = await aBench(t);
  const agent = await bench.connect();
  agent.sendRaw(Buffer.from([0x0a, 0xff, 0xff, 0xff]));
  agent.send({ domainReport: { uuid: uuid(1), state: 99 as never } });
  agent.send(aHello(H1));
  agent.send({ heartbeat: { sequence: 1, hypervisorConnected: true } });
  await agent.next('heartbeatAck');
  bench.registry.disconnect(H1, 'the host was removed');
  t.match(await agent.ended, { code: 'PERMISSION_DENIED', message: /the host was removed/ });
});

void t.test(
  '3,000 random messages of an agent harm nothing: the link goes on, what can be read is taken',
  async (t) => {
    const bench = await aBench(t);
    const agent = await bench.connect();
    const ends: unknown[] = [];
    void agent.ended.then((error) => ends.push(error));
    const messages = fc.sample(oneOfEach('ostler.v1.AgentMessage'), { numRuns: 3000, seed: 20_261_121 });
    for (const [sequence, message] of messages.entries()) {
      agent.send(message);
      // What the controller made of it is known when it has answered what was sent after it.
      agent.send({ heartbeat: { sequence, hypervisorConnected: true } });
      await Promise.race([agent.next('heartbeatAck'), agent.ended]);
      if (ends.length > 0) break;
    }
    t.same(ends, [], 'the link was never ended');
    const report = {
      uuid: uuid(1),
      name: 'x',
      state: DomainState.DOMAIN_RUNNING,
      vmId: id('i', 1),
      managed: true,
      epoch: 1,
    };
    agent.send({ domainReport: report });
    agent.send({ heartbeat: { sequence: 9999, hypervisorConnected: true } });
    while (Number((await agent.next('heartbeatAck')).sequence) !== 9999) continue;
    t.equal(bench.registry.view(H1)?.domains?.get(uuid(1))?.state, 'running');
  },
);

void t.test('300 random hellos: welcome, or a typed error', async (t) => {
  const bench = await aBench(t);
  const hellos = fc.sample(messagesNamed('ostler.v1.Hello'), { numRuns: 300, seed: 7 });
  const outcomes = new Map<string, number>();
  for (const hello of hellos) {
    const agent = connectAgent(bench.address, { hello: { ...hello, protocolVersion: 1, host: H1 } });
    const welcome = agent.next('welcome').then(() => 'welcome');
    const outcome = await Promise.race([welcome, agent.ended.then((error) => error?.code ?? 'end')]);
    outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
    agent.close();
  }
  t.comment(JSON.stringify(Object.fromEntries(outcomes)));
  t.same(
    [...outcomes.keys()].filter((code) => code !== 'welcome' && (code === 'INTERNAL' || !isCode(code))),
    [],
  );
});
