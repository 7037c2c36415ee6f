import type { ClusterView } from '../view.js';
import { hostName, type Machine, type Next } from './machine.js';
import type { OperationArgs } from '../model.js';

type Args = Extract<OperationArgs, { kind: 'image.delete' }>;
type Step = 'forget';

/**
 * The image's record goes with the request; this takes the copies off the hosts, one after the other in the order of their
 * ids. A host that cannot be heard when its turn comes keeps its copy: it does no harm, nothing refers to it.
 */
export const imageDelete: Machine<Args, Step, undefined> = {
  steps: { forget: { does: "Remove a host's copy of the image", from: 10 } },

  begin: ({ view }) => onward(view, ''),

  // A copy that could not be removed is the host's to clean up; the deletion of the image itself is done.
  answered: (_step, outcome, { op, view }) => {
    if (!outcome.ok && op.cancelRequested) {
      const error = outcome.error;
      return { next: 'done', state: 'cancelled', vm: undefined, detail: 'copies may be left on hosts', error };
    }
    return onward(view, op.cursor.hostId);
  },

  command: (_step, { op }) => ({ kind: 'forget-image', imageId: op.target }),
};

function onward(view: ClusterView, after: string): Next<Step, undefined> {
  let next = '';
  for (const host of view.hosts()) {
    if (host.online && host.id > after && (next === '' || host.id < next)) next = host.id;
  }
  if (next === '') return { next: 'done', state: 'succeeded', vm: undefined, detail: '', event: 'image.deleted' };
  return {
    next: 'command',
    step: 'forget',
    hostId: next,
    vm: undefined,
    detail: `removing the copy on ${hostName(view, next)}`,
  };
}
