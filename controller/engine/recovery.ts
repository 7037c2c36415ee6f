import type { FaultPoint } from '../../proto/kit/fault.js';
import type { Log } from '../../proto/kit/log.js';
import { isFinished } from '../core/operations/advance.js';
import type { Store, Write } from '../store/store.js';
import type { Publish } from './publisher.js';

/**
 * After a start: events that were committed but perhaps not logged are logged, and VMs held by an operation that is over are
 * released. Unfinished operations need nothing: their commands are sent again, with the same ids, when their hosts link up.
 */
export async function recover(deps: {
  readonly store: Store;
  readonly publish: Publish;
  readonly fault: FaultPoint;
  readonly log: Log;
}): Promise<void> {
  const { store, publish, fault, log } = deps;
  const operations = [...store.list('operation')].sort((a, b) => a.revision - b.revision);
  for (const { value } of operations) if (value.outbox.length > 0) await publish(value);
  const unfinished = operations.filter(({ value }) => !isFinished(value)).length;
  if (unfinished > 0) log.info({ operations: unfinished }, 'unfinished operations go on');

  const writes: Write[] = [];
  for (const { id, revision, value } of store.list('vm')) {
    const holder = value.operationId === '' ? undefined : store.get('operation', value.operationId)?.value;
    if (value.operationId === '' || (holder !== undefined && !isFinished(holder))) continue;
    // Both are written in one commit, so this is a store that somebody mended by hand.
    log.warn({ vm: id, operation: value.operationId }, 'released a VM whose operation is over');
    writes.push({ kind: 'vm', id, expect: revision, put: { ...value, operationId: '' } });
  }
  if (writes.length === 0) return;
  fault('recover.decided');
  await store.commit(writes);
  fault('recover.committed');
}
