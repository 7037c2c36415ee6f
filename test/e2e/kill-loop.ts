import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import type { Daemon } from './daemon.js';
import {
  faultOf,
  hostOnline,
  insist,
  LIFE,
  openGate,
  runVerb,
  supervise,
  verify,
  type Kill,
  type KillRig,
  type StopMode,
} from './kill-rig.js';

export interface Tally {
  /** Processes that really died. */
  kills: number;
  /** Places that were not passed this time: how often events are batched is up to the clock. */
  readonly missed: Kill[];
}

const describeKill = ({ verb, point, nth }: Kill): string => `${verb} ${point}#${nth}`;

let lives = 0;
export const newName = (): string => `vm${++lives}`;

/** How long after its operation's end a daemon may still come to the point. */
const TAIL_MS = 2_500;

/**
 * Dies at each of these places, up to four in the life of one VM, and looks after every verb whether all is as it should be.
 * The daemon is started with its next fault when it dies of the one before, so that a kill costs one start.
 */
export async function killAt(
  t: Test,
  rig: KillRig,
  daemon: Daemon,
  kills: readonly Kill[],
  options: { readonly stop: StopMode; readonly freshImage: boolean },
): Promise<Tally> {
  const tally: Tally = { kills: 0, missed: [] };
  const queues = LIFE.map((verb) => kills.filter((kill) => kill.verb === verb));
  const count = Math.max(...queues.map((queue) => queue.length));
  for (let life = 0; life < count; life += 1) {
    if (options.freshImage) await forgetImage(rig);
    await daemon.stop();
    await oneLife(
      t,
      rig,
      daemon,
      queues.map((queue) => queue[life]),
      options.stop,
      tally,
    );
  }
  await daemon.start();
  await hostOnline(rig);
  return tally;
}

/** `plan` has at most one kill for each verb. */
async function oneLife(
  t: Test,
  rig: KillRig,
  daemon: Daemon,
  plan: readonly (Kill | undefined)[],
  stop: StopMode,
  tally: Tally,
): Promise<void> {
  const { cluster } = rig;
  const name = newName();
  let armedFrom = 0;
  const armed = (): Record<string, string> => {
    const next = plan.slice(armedFrom).find((kill) => kill !== undefined);
    return next === undefined ? {} : faultOf(cluster, next);
  };
  let supervised = supervise(daemon, armed);
  await hostOnline(rig);
  for (const [index, verb] of LIFE.entries()) {
    const kill = plan[index];
    const closeGate = await openGate(cluster, verb);
    // Whatever starts from here on is armed for a later verb.
    armedFrom = index + 1;
    const before = supervised.kills;
    const operation = await runVerb(rig, verb, name, stop);
    const hit = kill === undefined || (await supervised.killed(before + 1, TAIL_MS));
    await closeGate();
    const label = `${daemon.name} killed at ${kill === undefined ? verb : describeKill(kill)}`;
    for (const sentence of await verify(rig, verb, operation)) t.fail(`${label}: ${sentence}`);
    if (hit) continue;
    tally.missed.push(kill);
    tally.kills += supervised.kills;
    await supervised.stop();
    supervised = supervise(daemon, armed);
  }
  tally.kills += supervised.kills;
  await supervised.stop();
}

/** So that the next creation fetches it again. No VM is there. */
async function forgetImage({ cluster }: KillRig): Promise<void> {
  const pool = await cluster.lab.path('h1', '/var/lib/libvirt/images');
  for (const file of await cluster.poolFiles('h1')) if (file.startsWith('ostler-image-')) await rm(join(pool, file));
}

/** Says what happened, and that nearly everything planned did, each named point at least once. */
export function judge(t: Test, planned: readonly Kill[], { kills, missed }: Tally): void {
  if (missed.length > 0) t.comment(`not passed this time: ${missed.map(describeKill).join(', ')}`);
  t.ok(kills >= planned.length * 0.9, `${kills} kills, ${planned.length} planned`);
  const nameOf = ({ verb, point }: Kill): string => `${verb} ${point}`;
  const hit = new Set(planned.filter((kill) => !missed.includes(kill)).map(nameOf));
  const never = [...new Set(planned.map(nameOf))].filter((name) => !hit.has(name));
  t.same(never, [], `each of ${hit.size} points of the four verbs was died at`);
}

/** What the controller said yes to is there, however it died since. */
export async function judgeAcknowledged(t: Test, rig: KillRig): Promise<void> {
  const lost: string[] = [];
  for (const operation of rig.acknowledged)
    await insist(() => rig.operations.getOperation({ operation })).catch(() => lost.push(operation));
  t.same(lost, [], `of ${rig.acknowledged.size} acknowledged operations none is lost`);
}
