import { OstlerError } from '../../../proto/kit/errors.js';
import type { Scene } from './scene.js';

/** Between two looks at a block job: a short one is noticed at once, a long one costs a tenth of its time at most. */
const FIRST_LOOK_MS = 10;
const LONGEST_LOOK_MS = 500;
const LOOK_SHARE = 0.1;

/** A namespace that holds nothing: writing "nothing" there waits for its turn and changes nothing. */
const BARRIER = 'https://ostler.dev/xmlns/barrier/1';
/** libvirt gives up by itself after 30 s when another call works on the domain. */
const BARRIER_ATTEMPTS = 120;

/**
 * Waits until no call of ours that a crash orphaned is still at work in libvirt on this domain. libvirt finishes a call
 * whose caller died: without this, what looks unchanged might change a moment later.
 */
export async function awaitQuiet(scene: Scene): Promise<void> {
  const { hypervisor } = scene.deps;
  for (let attempt = 1; ; attempt += 1) {
    scene.context.signal.throwIfAborted();
    try {
      const nothing = { namespace: BARRIER, prefix: 'barrier', xml: undefined, live: true };
      await hypervisor.setMetadata(scene.record.uuid, nothing);
      return;
    } catch (error) {
      const busy = error instanceof OstlerError && (error.code === 'TIMEOUT' || isLockTimeout(error));
      if (error instanceof OstlerError && error.code === 'WRONG_STATE') return;
      if (!busy || attempt === BARRIER_ATTEMPTS) throw error;
      scene.context.progress(0, 'waiting for libvirt to finish what it works on');
    }
  }
}

function isLockTimeout(error: OstlerError): boolean {
  return error.metadata['libvirt_code'] === 'OPERATION_TIMEOUT';
}

export type JobEnd = 'done' | 'off';

/**
 * Follows a block job to its end, `off` when the domain ended under it. `ready` tells whether a job that copies what the
 * guest writes has caught up; it is then ended by a pivot. Gives the job up when the signal aborts.
 */
export async function followJob(
  scene: Scene,
  dev: string,
  options: {
    readonly progress: (percent: number) => void;
    readonly ready: (() => Promise<boolean>) | undefined;
  },
): Promise<JobEnd> {
  const { hypervisor, clock, fault } = scene.deps;
  const { uuid } = scene.record;
  const { signal } = scene.context;
  const begun = clock.monotonic();
  for (;;) {
    if (signal.aborted) {
      await hypervisor.endBlockJob(uuid, dev, { pivot: false }).catch(() => undefined);
      throw signal.reason as Error;
    }
    const job = await jobOf(scene, dev);
    if (job === 'off') return 'off';
    if (job === undefined) return 'done';
    options.progress(job.total === 0 ? 0 : Math.floor((100 * job.done) / job.total));
    if (options.ready !== undefined && job.done === job.total && (await options.ready())) {
      fault('snapshot.merge-ready');
      const ended = await offOr(hypervisor.endBlockJob(uuid, dev, { pivot: true }));
      fault('snapshot.merge-pivoted');
      return ended ? 'done' : 'off';
    }
    const pause = Math.max(FIRST_LOOK_MS, LOOK_SHARE * (clock.monotonic() - begun));
    await clock.sleep(Math.min(LONGEST_LOOK_MS, pause), signal).catch(() => undefined);
  }
}

async function jobOf(
  scene: Scene,
  dev: string,
): Promise<{ readonly done: number; readonly total: number } | undefined | 'off'> {
  try {
    return await scene.deps.hypervisor.blockJob(scene.record.uuid, dev);
  } catch (error) {
    if (error instanceof OstlerError && (error.code === 'WRONG_STATE' || error.code === 'NOT_FOUND')) return 'off';
    throw error;
  }
}

/** False: the domain does not run any more. */
async function offOr(call: Promise<void>): Promise<boolean> {
  try {
    await call;
    return true;
  } catch (error) {
    if (error instanceof OstlerError && (error.code === 'WRONG_STATE' || error.code === 'NOT_FOUND')) return false;
    throw error;
  }
}
