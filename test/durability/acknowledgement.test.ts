import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { eventually } from '../e2e/eventually.js';
import { AGENT, CONTROLLER, freePort, runOnce, startTraced } from './daemons.js';
import { missingStage, parseTrace, type Stage, type Syscall } from './trace.js';

/**
 * An acknowledged write is on disk: the system calls of both daemons, as they run, while a VM is made over the JSON bridge
 * (plain HTTP, so that the answer can be read in the trace). The agent's world is the fake one; its journal is not.
 */
const directory = await mkdtemp(join(tmpdir(), 'ostler-acknowledge-'));
t.teardown(() => rm(directory, { recursive: true, force: true }));
t.setTimeout(240_000); // strace stops every system call of two starting programs

const controllerData = join(directory, 'controller');
const agentData = join(directory, 'agent');
const marks = join(directory, 'marks');
const [api, link, http] = [await freePort(), await freePort(), await freePort()];
const controllerConfig = join(directory, 'controller.yaml');
const agentConfig = join(directory, 'agent.yaml');
await writeFile(
  controllerConfig,
  stringify({
    dataDir: controllerData,
    api: { listen: `127.0.0.1:${api}` },
    link: { listen: `127.0.0.1:${link}` },
    http: { listen: `127.0.0.1:${http}`, tls: false },
  }),
);
await writeFile(agentConfig, stringify({ dataDir: agentData, runDir: join(directory, 'run') }));

/** Makes one VM with both daemons traced. Returns its operation's id and the calls of each. */
async function record(): Promise<{ operation: string; controller: Syscall[]; agent: Syscall[] }> {
  const traces = { controller: join(directory, 'controller.trace'), agent: join(directory, 'agent.trace') };
  const controller = await startTraced([CONTROLLER, 'run', '--config', controllerConfig], {
    trace: traces.controller,
    ready: /controller is ready/,
  });
  t.teardown(() => controller.stop());
  const token = (await readFile(join(controllerData, 'admin.token'), 'utf8')).trim();
  const call = async <T>(method: string, body: object): Promise<T> => {
    const response = await fetch(`http://127.0.0.1:${http}/ostler.v1.${method}`, {
      method: 'POST',
      headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
      body: JSON.stringify(body),
    });
    if (!response.ok) throw new Error(`${method}: ${await response.text()}`);
    return (await response.json()) as T;
  };
  const joined = await call<{ token: string }>('HostService/CreateHost', { name: 'h1' });
  await runOnce([AGENT, 'join', joined.token, '--config', agentConfig]);
  const agent = await startTraced([AGENT, 'run', '--fake', '--config', agentConfig], {
    trace: traces.agent,
    ready: /connected to the controller/,
    env: { OSTLER_FAULT_TRACE: marks },
  });
  t.teardown(() => agent.stop());
  const request = {
    name: 'durable',
    start: true,
    spec: {
      memory: { sizeBytes: '134217728' },
      disks: [{ name: 'root', sizeBytes: '1073741824' }],
      nics: [{ name: 'nic0' }],
    },
  };
  // Its pools are told a moment after the link is up.
  const { id } = await eventually('a host with a pool', 30, () => call<{ id: string }>('VmService/CreateVm', request));
  const done = await call<{ state: string }>('OperationService/WaitOperation', { operation: id, timeoutMs: 30_000 });
  t.equal(done.state, 'SUCCEEDED');
  await agent.stop();
  await controller.stop();
  const read = async (path: string): Promise<Syscall[]> => parseTrace(await readFile(path, 'utf8'));
  return { operation: id, controller: await read(traces.controller), agent: await read(traces.agent) };
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
const succeeded = '\\)\\s+= 0';
const write = /^(write|writev|pwrite64|pwritev)$/;
const flush = /^(fsync|fdatasync)$/;
const flushed = (path: string): RegExp => new RegExp(`^\\d+<${escaped(path)}>${succeeded}`);
/** Opened so that a write to it ends when the disk has it. */
const openedDurably = (path: string): Stage => ({
  what: `${path} is opened with O_DSYNC`,
  name: /^open(at)?$/,
  text: new RegExp(`"${escaped(path)}", [^)]*O_DSYNC[^)]*\\)\\s+= \\d`),
});
const into = (path: string, what: string): RegExp => new RegExp(`^\\d+<${escaped(path)}>.*${what}`);

void t.test('system calls', async (t) => {
  const { operation, controller, agent } = await record();
  const store = join(controllerData, 'store');
  const log = join(store, 'transactions.jsonl');
  const answer: Stage = {
    what: 'the answer that names the operation',
    name: write,
    text: new RegExp(`^\\d+<TCP:\\[127\\.0\\.0\\.1:${http}->.*${operation}`),
  };
  const stages: readonly Stage[] = [
    openedDurably(log),
    { what: "the log's name reaches the disk", name: flush, text: flushed(store) },
    { what: 'the operation and its VM, as one, to the disk', name: write, text: into(log, operation) },
    answer,
  ];
  t.equal(missingStage(controller, stages), undefined, 'controller: the line is on disk, and only then the answer');
  const first = controller.find(
    (call) => write.test(call.name) && /TCP:/.test(call.text) && call.text.includes(operation),
  );
  const written = controller.find((call) => write.test(call.name) && into(log, operation).test(call.text));
  if (written === undefined) throw new Error('no line of the operation');
  t.ok(written.ended < (first?.began ?? 0), 'no byte that names the operation went to any socket before');

  const journal = join(agentData, 'journal');
  const file = agent.find(
    (call) => write.test(call.name) && call.text.includes(`\\"begun\\",\\"id\\":\\"${operation}`),
  );
  const path = /<([^>]*\.jsonl)>/.exec(file?.text ?? '')?.[1] ?? 'no journal file';
  t.ok(path.startsWith(journal), path);
  const mark = (name: string): Stage => ({ what: name, name: write, text: into(marks, escaped(name)) });
  const begun: readonly Stage[] = [
    { what: 'the command in the journal, to the disk', name: write, text: into(path, 'begun') },
    mark('journal.begun'),
    mark('provision.noted'),
    { what: 'the result in the journal, to the disk', name: write, text: into(path, 'done') },
    mark('result.send'),
    { what: 'the link', name: write, text: new RegExp(`^\\d+<TCP:\\[.*->127\\.0\\.0\\.1:${link}\\]`) },
  ];
  t.equal(missingStage(agent, begun), undefined, 'agent: command on disk, then work, then result on disk, then sent');
  const named: readonly Stage[] = [
    openedDurably(path),
    { what: "the journal's name reaches the disk", name: flush, text: flushed(journal) },
    { what: 'the command in the journal', name: write, text: into(path, 'begun') },
  ];
  t.equal(missingStage(agent, named), undefined, 'agent: the name of the journal file, too, before any work');
});
