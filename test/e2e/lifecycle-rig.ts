import { writeFile } from 'node:fs/promises';
import { startCluster, type Cluster, type ClusterOptions } from './cluster.js';
import { eventually } from './eventually.js';
import { serialMatch, serialText } from './serial.js';
import type { VmJson } from './vm-view.js';

export interface EventJson {
  readonly kind: string;
  readonly target: string;
  readonly message: string;
  readonly metadata?: Readonly<Record<string, string>>;
}

/** One host, the test guest imported, and the words that the lifecycle tests are written in. */
export interface LifecycleRig {
  readonly cluster: Cluster;
  readonly show: (name: string) => Promise<VmJson>;
  /** @throws Error with stderr when it fails */
  readonly ok: (...args: string[]) => Promise<string>;
  /** Exit code and standard error of a command that is expected to be refused. */
  readonly refusal: (...args: string[]) => Promise<string>;
  /** On h1. */
  readonly virsh: (...args: string[]) => Promise<string>;
  /** Makes and starts a VM of the test guest with `#ostler-test` switches, and waits until it is up. */
  readonly boot: (name: string, switches: string, ...flags: string[]) => Promise<VmJson>;
  readonly up: (vmId: string, count?: number) => Promise<void>;
  /** The number of the guest's last tick. */
  readonly ticks: (vmId: string) => Promise<number>;
  readonly ticksBeyond: (vmId: string, tick: number) => Promise<number>;
  /** Runs a shell command in the guest through its agent, without waiting for its end. */
  readonly inGuest: (vmId: string, script: string) => Promise<void>;
  readonly state: (name: string, state: string, seconds?: number) => Promise<VmJson>;
  /** An agent's or operation's event of the VM, the newest first. */
  readonly event: (vmId: string, kind: string) => Promise<EventJson>;
  readonly down: () => Promise<void>;
}

export async function lifecycleRig(options: ClusterOptions = {}): Promise<LifecycleRig> {
  const cluster = await startCluster(options);
  await cluster.join('h1');
  await cluster.importGuest();
  // A host is online a moment before it has told of its pools.
  await eventually('the pool of h1', 30, async () => {
    const { facts } = await cluster.json<{ facts?: { pools?: { active?: boolean }[] } }>(['host', 'show', 'h1']);
    if (facts?.pools?.some((pool) => pool.active === true) !== true) throw new Error('no active pool');
  });
  const rig: LifecycleRig = {
    cluster,
    down: () => cluster.down(),
    show: (name) => cluster.json<VmJson>(['vm', 'show', name]),
    ok: async (...args) => {
      const result = await cluster.ostler(args);
      if (result.code !== 0) throw new Error(`ostler ${args.join(' ')}: exit ${result.code}\n${result.stderr}`);
      return result.stdout;
    },
    refusal: async (...args) => {
      const { code, stderr } = await cluster.ostler(args);
      return `${code}: ${stderr}`;
    },
    virsh: async (...args) => (await cluster.lab.exec('h1', ['virsh', '-q', ...args])).stdout.trim(),
    boot: async (name, switches, ...flags) => {
      const userData = `${cluster.directory}/${name}.yaml`;
      await writeFile(userData, `#cloud-config\n#ostler-test ${switches}\n`);
      const seed = ['--user-data', userData];
      await rig.ok('vm', 'create', name, '--image', 'guest', '--memory', '128MiB', ...seed, ...flags);
      const vm = await rig.show(name);
      await rig.up(vm.id);
      return vm;
    },
    up: async (vmId, count = 1) => {
      await serialMatch(cluster, { host: 'h1', vmId, pattern: /EVENT up /, count, seconds: 300 });
    },
    ticks: async (vmId) => {
      const text = await serialText(cluster, 'h1', vmId);
      return Math.max(0, ...[...text.matchAll(/^tick (\d+) /gm)].map((one) => Number(one[1])));
    },
    ticksBeyond: (vmId, tick) =>
      eventually(`a tick beyond ${tick}`, 60, async () => {
        const now = await rig.ticks(vmId);
        if (now <= tick) throw new Error(`the last is ${now}`);
        return now;
      }),
    inGuest: async (vmId, script) => {
      const command = { execute: 'guest-exec', arguments: { path: '/bin/sh', arg: ['-c', script] } };
      await eventually('the guest agent', 60, () => rig.virsh('qemu-agent-command', vmId, JSON.stringify(command)));
    },
    state: (name, state, seconds = 60) =>
      eventually(`${name} ${state}`, seconds, async () => {
        const vm = await rig.show(name);
        if (vm.state !== state) throw new Error(`${vm.state} ${vm.stateReason ?? ''}`);
        return vm;
      }),
    event: (vmId, kind) =>
      eventually(`the event ${kind}`, 20, async () => {
        const events = await cluster.json<EventJson[]>(['event', 'list']);
        const found = events.find((one) => one.target === vmId && one.kind === kind);
        if (found === undefined) throw new Error(events.map((one) => one.kind).join(' '));
        return found;
      }),
  };
  return rig;
}
