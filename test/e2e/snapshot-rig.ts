import type { Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch } from './serial.js';
import type { OperationJson, VmJson } from './vm-view.js';

export interface SnapshotJson {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly parent: string;
  readonly state: string;
  readonly now: boolean;
  readonly memory: boolean;
  readonly memoryBytes: number;
  readonly quiesced: boolean;
  readonly tags: Readonly<Record<string, string>>;
  readonly createTime: string;
  readonly disks: readonly {
    readonly name: string;
    readonly file: string;
    readonly sizeBytes: number;
    readonly deltaBytes: number;
  }[];
}

interface ExecStatus {
  readonly exited: boolean;
  readonly exitcode?: number;
  readonly 'out-data'?: string;
  readonly 'err-data'?: string;
}

const POOL = '/var/lib/libvirt/images';

/** One VM with a guest in it, on host h1, and what tests of its snapshots do with it. */
export interface Subject {
  readonly name: string;
  readonly id: string;
  /** Runs the command line; fails when it does. */
  ok(args: readonly string[]): Promise<string>;
  /** Runs `ostler snapshot VERB NAME …`. */
  snap(verb: string, ...args: readonly string[]): Promise<string>;
  list(): Promise<readonly SnapshotJson[]>;
  /** Runs a shell line in the guest by its agent; its output. Fails when the line fails. */
  guest(line: string): Promise<string>;
  /** Waits for the nth boot and the guest's agent. */
  booted(count: number): Promise<void>;
  /** Waits for the guest's agent. */
  agent(): Promise<void>;
  /** Files of this VM in the pool. */
  files(): Promise<readonly string[]>;
  /** Target → path, of the domain as it is. */
  blocks(): Promise<Readonly<Record<string, string>>>;
  /** From the top down, file names. */
  chain(file: string): Promise<readonly string[]>;
  /** `qemu-img check` of every qcow2 of the VM; what is wrong. */
  damage(): Promise<readonly string[]>;
}

export async function makeSubject(cluster: Cluster, name: string, args: readonly string[] = []): Promise<Subject> {
  const ok = async (line: readonly string[]): Promise<string> => {
    const result = await cluster.ostler(line);
    if (result.code !== 0) throw new Error(`ostler ${line.join(' ')}: exit ${result.code}\n${result.stderr}`);
    return result.stdout;
  };
  await ok(['vm', 'create', name, '--image', 'guest', '--memory', '128MiB', ...args]);
  const { id } = await cluster.json<VmJson>(['vm', 'show', name]);
  const exec = async (argv: readonly string[]): Promise<string> => (await cluster.lab.exec('h1', [...argv])).stdout;
  const askAgent = async (command: object): Promise<unknown> => {
    const answer = await exec(['virsh', 'qemu-agent-command', id, JSON.stringify(command), '--timeout', '20']);
    return (JSON.parse(answer) as { return: unknown }).return;
  };
  const subject: Subject = {
    name,
    id,
    ok,
    snap: (verb, ...rest) => ok(['snapshot', verb, name, ...rest]),
    list: () => cluster.json<SnapshotJson[]>(['snapshot', 'list', name]),
    guest: async (line) => {
      const run = { path: '/bin/sh', arg: ['-c', line], 'capture-output': true };
      const { pid } = (await askAgent({ execute: 'guest-exec', arguments: run })) as { pid: number };
      const status = await eventually(`the guest to run ${line}`, 60, async () => {
        const one = (await askAgent({ execute: 'guest-exec-status', arguments: { pid } })) as ExecStatus;
        if (!one.exited) throw new Error('it still runs');
        return one;
      });
      const text = (key: 'out-data' | 'err-data'): string => Buffer.from(status[key] ?? '', 'base64').toString();
      if (status.exitcode !== 0) throw new Error(`in the guest: ${line}: ${text('err-data')}`);
      return text('out-data').trim();
    },
    agent: () =>
      eventually(
        'the guest agent',
        120,
        async () => {
          await askAgent({ execute: 'guest-ping' });
        },
        500,
      ),
    booted: async (count) => {
      const pattern = /EVENT data-mounted/;
      await serialMatch(cluster, { host: 'h1', vmId: id, pattern, count, seconds: 120 });
      await subject.agent();
    },
    files: async () => (await cluster.poolFiles('h1')).filter((file) => file.includes(id)).sort(),
    blocks: async () => {
      const lines = (await exec(['virsh', '-q', 'domblklist', id])).split('\n').map((line) => line.trim().split(/\s+/));
      return Object.fromEntries(lines.filter((line) => line.length === 2)) as Record<string, string>;
    },
    chain: async (file) => {
      const path = file.startsWith('/') ? file : `${POOL}/${file}`;
      const text = await exec(['qemu-img', 'info', '-U', '--backing-chain', '--output=json', path]);
      return (JSON.parse(text) as { filename: string }[]).map((one) => one.filename.slice(POOL.length + 1));
    },
    damage: async () => {
      const found: string[] = [];
      for (const file of (await subject.files()).filter((one) => one.endsWith('.qcow2'))) {
        const checked = await exec(['sh', '-c', `qemu-img check -U -q ${POOL}/${file} 2>&1; echo "code $?"`]);
        if (!/code [03]\n/.test(checked)) found.push(`${file}: ${checked}`);
      }
      return found;
    },
  };
  return subject;
}

/** Waits until no operation is at work, and says how they ended. */
export function settled(cluster: Cluster, seconds = 60): Promise<readonly OperationJson[]> {
  return eventually(
    'all operations to end',
    seconds,
    async () => {
      const operations = await cluster.json<OperationJson[]>(['op', 'list']);
      const open = operations.find((one) => !['SUCCEEDED', 'FAILED', 'CANCELLED'].includes(one.state));
      if (open !== undefined) throw new Error(`${open.kind} is ${open.state}`);
      return operations;
    },
    200,
  );
}
