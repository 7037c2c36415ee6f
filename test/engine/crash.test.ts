/**
 * The controller is killed (SIGKILL) at every fault point that a run passes, each time it passes it; a new one then opens
 * what is left and must bring every operation to its end. The agents live on in this process.
 * OSTLER_CRASH_EVERY=n takes every n-th kill only (default 4; 1: all of them, minutes).
 */
import { fork } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { systemClock } from '../../proto/kit/clock.js';
import { silentLog } from '../../proto/kit/log.js';
import { OPERATION_KINDS } from '../../controller/core/operations/table.js';
import { createEngine } from '../../controller/engine/engine.js';
import type { Agents } from '../../controller/engine/env.js';
import { openEventLog } from '../../controller/store/event-log.js';
import { openStore } from '../../controller/store/lowdb.js';
import { aHost, anImage, id, someFacts, uuid } from '../store/documents.js';
import { allEvents } from './cluster.js';
import type { ToChild, ToParent } from './crash-child.js';
import { runScript, SCRIPT, SCRIPT_EVENTS } from './crash-script.js';
import { createFakeAgents, kindOf, type FakeAgents } from './fake-agents.js';

const HOST = id('h', 1);
const CHILD = fileURLToPath(new URL('./crash-child.js', import.meta.url));

interface Lab {
  readonly dataDir: string;
  readonly agents: FakeAgents;
  /** Operations that the killed controller had acknowledged. */
  readonly acknowledged: Set<string>;
}

async function aLab(): Promise<Lab> {
  const dataDir = await mkdtemp(join(tmpdir(), 'ostler-crash-'));
  const agents = createFakeAgents({ clock: systemClock });
  agents.add(HOST, someFacts());
  const store = await openStore({ dataDir });
  await store.commit([
    { kind: 'host', id: HOST, expect: 0, put: aHost(1) },
    { kind: 'image', id: id('img', 1), expect: 0, put: anImage(1) },
  ]);
  await store.close();
  return { dataDir, agents: eager(agents), acknowledged: new Set() };
}

/** Commands run as soon as they come; VM 2 never starts. */
function eager(agents: FakeAgents): FakeAgents {
  const host = agents.host(HOST);
  const send: Agents['send'] = (hostId, command) => {
    if (kindOf(command) === 'start' && command.vmUuid === uuid(2)) {
      host.failures.set('start', [{ code: 'HYPERVISOR_ERROR', message: 'It does not start.' }]);
    }
    agents.send(hostId, command);
    setImmediate(() => {
      while (agents.runNext(hostId)) continue;
    });
  };
  return { ...agents, send };
}

/** Runs a controller in a process of its own until it ends or is killed. */
function runChild(lab: Lab, environment: Record<string, string>): Promise<NodeJS.Signals | number | null> {
  const { agents } = lab;
  return new Promise((resolve, reject) => {
    const child = fork(CHILD, [lab.dataDir], { env: { ...process.env, ...environment }, serialization: 'advanced' });
    const tell = (message: ToChild): void => {
      if (child.connected) child.send(message, () => undefined);
    };
    const tellViews = (): void => {
      const views = [...agents.views()].map((view) => ({ ...view, domains: [...(view.domains ?? [])] }));
      tell({ type: 'views', views });
    };
    const stop = agents.subscribe({
      onResult: (...args) => tell({ type: 'result', args }),
      onProgress: () => undefined,
      onChange: tellViews,
    });
    child.on('message', (message: ToParent) => {
      if (message.type === 'hello') agents.connect(HOST);
      else if (message.type === 'send') agents.send(message.hostId, message.command);
      else if (message.type === 'cancel') agents.cancel(message.hostId, message.commandId);
      else if (message.type === 'acknowledge') agents.acknowledge(message.hostId, message.commandId);
      else if (message.type === 'acknowledged-operation') lab.acknowledged.add(message.id);
    });
    child.on('error', reject);
    child.on('exit', (code, signal) => {
      stop();
      agents.cut(HOST);
      resolve(signal ?? code);
    });
  });
}

/** A new controller takes over what is left and finishes the script. Returns what is wrong afterwards. */
async function takeOver(lab: Lab): Promise<string[]> {
  const { agents, dataDir } = lab;
  const wrong: string[] = [];
  const store = await openStore({ dataDir });
  for (const operationId of lab.acknowledged) {
    if (store.get('operation', operationId) === undefined) wrong.push(`acknowledged operation ${operationId} is lost`);
  }
  const events = await openEventLog({ dataDir }, { clock: systemClock });
  const engine = createEngine({ tickMs: 20 }, { store, events, agents, clock: systemClock, log: silentLog });
  const stop = new AbortController();
  const running = engine.run(stop.signal);
  agents.connect(HOST);
  try {
    await runScript(engine, () => undefined);
  } catch (error) {
    wrong.push((error as Error).message);
  }
  stop.abort();
  await running;
  wrong.push(
    ...verify(
      lab,
      store,
      allEvents(events)
        .map((event) => event.kind)
        .reverse(),
    ),
  );
  engine.close();
  await events.close();
  await store.close();
  const left = await readdir(join(dataDir, 'store'), { recursive: true });
  wrong.push(...left.filter((name) => name.endsWith('.tmp')).map((name) => `temporary file ${name} is left`));
  return wrong;
}

function verify({ agents }: Lab, store: Awaited<ReturnType<typeof openStore>>, kinds: string[]): string[] {
  const wrong: string[] = [];
  const host = agents.host(HOST);
  if (host.domains.size > 0) wrong.push(`orphan domains: ${[...host.domains.keys()].join()}`);
  for (const [command, count] of host.runs) if (count !== 1) wrong.push(`${command} ran ${count} times`);
  if (host.unacknowledged.size > 0) wrong.push(`never acknowledged: ${[...host.unacknowledged].join()}`);
  const operations = [...store.list('operation')];
  if (operations.length !== SCRIPT.length) wrong.push(`${operations.length} operations for ${SCRIPT.length} requests`);
  for (const { value } of store.list('vm')) {
    if (value.settled !== 'expunged' || value.operationId !== '')
      wrong.push(`${value.record.name} is ${value.settled}`);
  }
  if (kinds.join() !== SCRIPT_EVENTS.join()) wrong.push(`events: ${kinds.join(' ')}`);
  return wrong;
}

async function clean(lab: Lab): Promise<void> {
  await rm(lab.dataDir, { recursive: true, force: true });
}

/** Every pass of every fault point in an undisturbed run, as `name#n`. */
async function allKills(): Promise<string[]> {
  const lab = await aLab();
  const trace = join(lab.dataDir, 'trace');
  const end = await runChild(lab, { OSTLER_FAULT_TRACE: trace });
  if (end !== 0) throw new Error(`the undisturbed run ended with ${end ?? 'nothing'}`);
  const hits = new Map<string, number>();
  const kills = (await readFile(trace, 'utf8'))
    .trim()
    .split('\n')
    .map((name) => {
      hits.set(name, (hits.get(name) ?? 0) + 1);
      return `${name}#${hits.get(name) ?? 0}`;
    });
  await clean(lab);
  return kills;
}

// 30 s on two idle cores, but each kill is two starts of Node: with six other busy processes it takes minutes.
t.setTimeout(900_000);

void t.test('no kind of operation is left out', (t) => {
  t.same([...new Set(SCRIPT.map(({ args }) => args.kind))].sort(), [...OPERATION_KINDS].sort());
  t.end();
});

void t.test('killed at every fault point, everything converges and nothing acknowledged is lost', async (t) => {
  const every = Number(process.env['OSTLER_CRASH_EVERY'] ?? '4');
  const all = await allKills();
  const kills = all.filter((_, index) => index % every === 0);
  let killed = 0;
  const queue = [...kills];
  const work = async (): Promise<void> => {
    for (let kill = queue.shift(); kill !== undefined; kill = queue.shift()) {
      const lab = await aLab();
      const end = await runChild(lab, { OSTLER_FAULT_KILL: kill });
      if (end === 'SIGKILL') killed += 1;
      const wrong = await takeOver(lab);
      if (wrong.length > 0) t.fail(`${kill}: ${wrong.join('; ')}`);
      await clean(lab);
    }
  };
  await Promise.all([work(), work()]);
  t.comment(`${killed} kills at ${new Set(kills.map((kill) => kill.split('#')[0])).size} points`);
  // A timer may make a run pass a point once less; nearly all must have been real kills.
  t.ok(killed >= kills.length * 0.95, `${killed} of ${kills.length} runs were killed`);
});
