import { OstlerError } from '../../proto/kit/errors.js';
import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import { isFinished } from '../core/operations/advance.js';
import type { Store, Write } from '../store/store.js';
import type { SubmitRequest } from './env.js';
import type { ViewIndex } from './view-index.js';

/** Removes the disks of destroyed VMs whose time is over (M-022). `submit` must be called without the engine's lock. */
export async function purge(
  now: number,
  deps: {
    readonly store: Store;
    readonly index: ViewIndex;
    readonly submit: (request: SubmitRequest) => Promise<unknown>;
    readonly log: Log;
  },
): Promise<void> {
  for (const id of [...deps.index.destroyed]) {
    const vm = deps.store.get('vm', id)?.value;
    if (vm === undefined || vm.operationId !== '' || vm.purgeTime > now) continue;
    try {
      await deps.submit({
        target: id,
        args: { kind: 'vm.expunge', force: true },
        requestId: '',
        requestHash: '',
        actor: 'controller',
        etag: '',
        validateOnly: false,
      });
    } catch (error) {
      // Its host is away, or somebody was faster: the next round tries again.
      if (!(error instanceof OstlerError)) throw error;
      deps.log.debug({ vm: id, code: error.code }, 'purge has to wait');
    }
  }
}

export interface Retention {
  /** How long finished operations and the records of expunged VMs are kept, milliseconds. */
  readonly retentionMs: number;
  /** How many finished operations are kept at most. */
  readonly retentionCount: number;
}

const BATCH = 100;

/** Drops finished operations and expunged VMs that are too old or too many. Returns how many documents went. */
export async function prune(
  now: number,
  options: Retention,
  deps: { readonly store: Store; readonly fault: FaultPoint },
): Promise<number> {
  const { store, fault } = deps;
  const finished = [...store.list('operation')]
    .filter(({ value }) => isFinished(value))
    .sort((a, b) => b.value.endTime - a.value.endTime);
  const old = finished.filter(
    ({ value }, index) => index >= options.retentionCount || value.endTime < now - options.retentionMs,
  );
  const gone = [...store.list('vm')].filter(
    ({ value }) => value.settled === 'expunged' && value.updateTime < now - options.retentionMs,
  );
  const writes: Write[] = [
    ...old.map(({ id, revision }) => ({ kind: 'operation', id, expect: revision, remove: true }) as const),
    ...gone.map(({ id, revision }) => ({ kind: 'vm', id, expect: revision, remove: true }) as const),
  ];
  for (let start = 0; start < writes.length; start += BATCH) {
    fault('prune.deciding');
    await store.commit(writes.slice(start, start + BATCH));
    fault('prune.committed');
  }
  return writes.length;
}
