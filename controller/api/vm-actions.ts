import type { vmService } from '../../proto/services.js';
import type { ostler } from '../../proto/gen/ostler.js';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import type { VmSpec } from '../../proto/model/vm.js';
import type { ImageDoc, OperationArgs } from '../core/model.js';
import { rebuildSpec } from '../core/rebuild-spec.js';
import type { Agents, Operations } from '../engine/env.js';
import type { Store, Stored } from '../store/store.js';
import type { ApiHandlers, Call } from './call.js';
import { requireImage, requireVm } from './lookup.js';
import type { Mutation } from './vm-submit.js';

type Handlers = ApiHandlers<(typeof vmService)['methods']>;
type Actions = Pick<Handlers, 'pauseVm' | 'resumeVm' | 'suspendVm' | 'sendNmi' | 'takeScreenshot' | 'rebuildVm'>;

type Submit = (
  method: string,
  request: Mutation & object,
  target: string,
  args: OperationArgs,
  call: Call,
) => Promise<ostler.v1.Operation.$Properties>;

/** The verbs beside start, stop, restart and delete. */
export function createVmActions(
  deps: { readonly store: Store; readonly agents: Agents; readonly operations: Operations },
  submit: Submit,
): Actions {
  const { store, agents, operations } = deps;
  return {
    pauseVm: (request, call) => submit('PauseVm', request, requireVm(store, request.vm).id, { kind: 'vm.pause' }, call),
    resumeVm: (request, call) =>
      submit('ResumeVm', request, requireVm(store, request.vm).id, { kind: 'vm.resume' }, call),
    suspendVm: (request, call) =>
      submit('SuspendVm', request, requireVm(store, request.vm).id, { kind: 'vm.suspend' }, call),
    sendNmi: (request, call) => submit('SendNmi', request, requireVm(store, request.vm).id, { kind: 'vm.nmi' }, call),

    takeScreenshot: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const { state, reason } = operations.vmState(vm);
      const { hostId, record } = vm.value;
      if (!['RUNNING', 'PAUSED', 'STARTING', 'STOPPING', 'REBOOTING'].includes(state)) {
        const why = reason === '' ? '' : ` (${reason})`;
        throw new OstlerError('WRONG_STATE', `${record.name} is ${state}${why}; only a VM that runs has a screen.`, {
          remedy: `Start it: \`ostler start ${record.name}\`.`,
          metadata: { state },
        });
      }
      return { mimeType: 'image/png', data: await agents.screenshot(hostId, record.uuid, call.signal) };
    },

    rebuildVm: async (request, call) => {
      const vm = requireVm(store, request.vm);
      const image = request.image === '' ? undefined : requireImage(store, request.image);
      const spec = specOfRebuild(vm.value.record.spec, image, store);
      return submit('RebuildVm', request, vm.id, { kind: 'vm.rebuild', spec }, call);
    },
  };
}

function specOfRebuild(spec: VmSpec, image: Stored<ImageDoc> | undefined, store: Store): VmSpec {
  const answer = rebuildSpec(spec, image?.value, (id) => store.get('image', id)?.value);
  if (answer.ok) return answer.spec;
  throw invalidField('image', answer.why, answer.remedy);
}
