import type { Test } from 'tap';
import { startCluster, type Cluster } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch, serialText } from './serial.js';
import type { VmJson } from './vm-view.js';

export const MIB = 1024 * 1024;

/** One running guest that is changed through the command line, and that confirms each change itself. */
export interface HotplugRig {
  readonly cluster: Cluster;
  readonly vmId: string;
  /** Fails with what it printed when its exit code is not 0. */
  ok(args: readonly string[]): Promise<string>;
  /** What it prints when it is refused: exit code 4 (FAILED_PRECONDITION). */
  refused(t: Test, args: readonly string[]): Promise<string>;
  show(): Promise<VmJson>;
  /** The next match behind `since`, or the last of `count` since the boot. */
  says(pattern: RegExp, options?: { count?: number; seconds?: number }): Promise<RegExpMatchArray>;
  said(pattern: RegExp): Promise<number>;
  virsh(...args: readonly string[]): Promise<string>;
  /** Runs a command in the guest by its agent and returns what it printed. */
  inGuest(command: string): Promise<string>;
  /** Waits for the guest's agent. */
  agent(): Promise<void>;
  down(): Promise<void>;
}

export const NAME = 'plug';

/** `prepare`: what is done to the host before its agent comes. */
export async function startHotplugRig(
  create: readonly string[] = [],
  prepare: (cluster: Cluster) => Promise<void> = () => Promise.resolve(),
): Promise<HotplugRig> {
  const cluster = await startCluster();
  try {
    await prepare(cluster);
    return await boot(cluster, create);
  } catch (error) {
    await cluster.down();
    throw error;
  }
}

async function boot(cluster: Cluster, create: readonly string[]): Promise<HotplugRig> {
  const ok = async (args: readonly string[]): Promise<string> => {
    const { code, stdout, stderr } = await cluster.ostler(args);
    if (code !== 0) throw new Error(`ostler ${args.join(' ')}: exit ${code}\n${stderr}`);
    return stdout + stderr;
  };
  await cluster.join('h1');
  await cluster.importGuest();
  await ok(['vm', 'create', NAME, '--image', 'guest', '--memory', '128MiB', ...create]);
  const { id: vmId } = await cluster.json<VmJson>(['vm', 'show', NAME]);
  const at = { host: 'h1', vmId };
  const virsh = async (...args: readonly string[]): Promise<string> =>
    (await cluster.lab.exec('h1', ['virsh', '-q', ...args])).stdout;
  const ask = async (command: object): Promise<Record<string, unknown>> => {
    const answer = await virsh('qemu-agent-command', vmId, JSON.stringify(command));
    return (JSON.parse(answer) as { return: Record<string, unknown> }).return;
  };
  const rig: HotplugRig = {
    cluster,
    vmId,
    ok,
    refused: async (t, args) => {
      const { code, stdout, stderr } = await cluster.ostler(args);
      t.equal(code, 4, `${args.join(' ')}: FAILED_PRECONDITION\n${stdout}${stderr}`);
      return stderr;
    },
    show: () => cluster.json<VmJson>(['vm', 'show', NAME]),
    says: (pattern, options = {}) => serialMatch(cluster, { ...at, pattern, ...options }),
    said: async (pattern) => [...(await serialText(cluster, 'h1', vmId)).matchAll(new RegExp(pattern, 'g'))].length,
    virsh,
    inGuest: async (command) => {
      const execute = { path: '/bin/sh', arg: ['-c', command], 'capture-output': true };
      const { pid } = await ask({ execute: 'guest-exec', arguments: execute });
      return eventually(`the end of ${command}`, 30, async () => {
        const status = await ask({ execute: 'guest-exec-status', arguments: { pid } });
        if (status['exited'] !== true) throw new Error('it runs');
        return Buffer.from(typeof status['out-data'] === 'string' ? status['out-data'] : '', 'base64').toString();
      });
    },
    agent: async () => {
      await eventually('the guest agent', 60, () => ask({ execute: 'guest-ping' }));
    },
    down: () => cluster.down(),
  };
  await rig.says(/EVENT up /, { seconds: 120 });
  await rig.agent();
  return rig;
}
