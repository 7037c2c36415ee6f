import { ostler } from '../../../proto/gen/ostler.js';
import { enumToWire, OPERATION_STATES } from '../../../proto/convert.js';
import { isCode } from '../../../proto/kit/errors.js';
import { toErrorDetail } from '../../../proto/status.js';
import { toWireTime } from '../../../proto/time.js';
import type { ErrorInfo } from '../../core/error-info.js';
import type { OperationDoc, PlacementDoc } from '../../core/model.js';
import type { Store } from '../../store/store.js';
import { hostNameOf } from './vm.js';

/** `plan` is filled for validate_only, where nothing was stored and the id is empty. */
export function operationToWire(
  op: OperationDoc,
  store: Store,
  extra: { readonly plan?: readonly string[] } = {},
): ostler.v1.Operation.$Properties {
  return {
    id: op.id,
    kind: op.kind,
    target: op.target,
    targetName: op.targetName,
    state: enumToWire(OPERATION_STATES, op.state),
    percent: Math.max(0, Math.min(100, Math.round(op.percent))),
    detail: op.detail,
    steps: op.steps.map((step) => ({
      name: step.name,
      state: enumToWire(OPERATION_STATES, step.state),
      detail: step.detail,
      startTime: toWireTime(step.startTime),
      endTime: step.endTime === 0 ? null : toWireTime(step.endTime),
    })),
    error: op.error === undefined ? null : errorToWire(op.error),
    createdBy: op.createdBy,
    requestId: op.requestId,
    createTime: toWireTime(op.createTime),
    endTime: op.endTime === 0 ? null : toWireTime(op.endTime),
    placement: op.placement === undefined ? null : placementToWire(op.placement, store),
    plan: [...(extra.plan ?? [])],
  };
}

function errorToWire(error: ErrorInfo): ostler.v1.ErrorDetail.$Properties {
  return toErrorDetail({ ...error, code: isCode(error.code) ? error.code : 'INTERNAL' });
}

function placementToWire(placement: PlacementDoc, store: Store): ostler.v1.PlacementDecision.$Properties {
  return {
    host: hostNameOf(store, placement.hostId),
    score: placement.score,
    rejected: { ...placement.rejected },
  };
}
