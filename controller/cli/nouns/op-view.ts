import { ostler } from '../../../proto/gen/ostler.js';
import { fromWireTime } from '../../../proto/time.js';
import type { View } from '../output/print.js';
import { toPlain } from '../output/plain.js';
import { absoluteTime, bothTimes, formatDuration, relativeTime } from '../output/time.js';
import type { Tone } from '../output/text.js';

const { v1 } = ostler;
type Operation = ostler.v1.Operation.$Properties;

export function operationState(state: ostler.v1.OperationState | null | undefined): string {
  return (v1.OperationState[state ?? 0] ?? 'unknown').replace(/^OPERATION_(?:STATE_)?/, '').toLowerCase();
}

function toneOf(operation: Operation): Tone {
  switch (operationState(operation.state)) {
    case 'succeeded':
      return 'good';
    case 'failed':
      return 'bad';
    case 'pending':
    case 'running':
    case 'undoing':
      return 'busy';
    default:
      return 'faint';
  }
}

function duration(operation: Operation, now: number): string {
  const start = fromWireTime(operation.createTime);
  return start === undefined ? '-' : formatDuration((fromWireTime(operation.endTime) ?? now) - start);
}

function stepsOf(operation: Operation): string {
  return (operation.steps ?? [])
    .map((step) => {
      const start = fromWireTime(step.startTime);
      const end = fromWireTime(step.endTime);
      const took = start !== undefined && end !== undefined ? ` (${formatDuration(end - start)})` : '';
      return `${step.name ?? ''}: ${operationState(step.state)}${took}${step.detail ? `, ${step.detail}` : ''}`;
    })
    .join('\n');
}

function placementOf(operation: Operation): string {
  const { placement } = operation;
  if (!placement) return '';
  const rejected = Object.entries(placement.rejected ?? {}).map(([host, reason]) => `not ${host}: ${reason}`);
  const chosen = placement.host ? [`${placement.host} (score ${(placement.score ?? 0).toFixed(2)})`] : [];
  return [...chosen, ...rejected].join('\n');
}

function errorOf(operation: Operation): string {
  const { error } = operation;
  if (!error) return '';
  const next = error.remedy ? `\nnext: ${error.remedy}` : '';
  return `${error.message ?? ''} [${error.reason ?? ''}]${next}`;
}

export const operationView: View<Operation> = {
  columns: [
    { header: 'ID', cell: (one) => one.id ?? '' },
    { header: 'KIND', cell: (one) => one.kind ?? '' },
    { header: 'TARGET', cell: (one) => one.targetName || (one.target ?? '') },
    { header: 'STATE', cell: (one) => operationState(one.state), tone: toneOf },
    {
      header: 'DONE',
      cell: (one) => `${one.percent ?? 0}%`,
      raw: (one) => one.percent ?? 0,
      right: true,
    },
    {
      header: 'STARTED',
      cell: (one, now) => relativeTime(one.createTime, now),
      raw: (one) => absoluteTime(one.createTime),
    },
    { header: 'TOOK', cell: duration, raw: (one) => took(one), wide: true },
    { header: 'BY', cell: (one) => one.createdBy ?? '', wide: true },
    { header: 'TARGET ID', cell: (one) => one.target ?? '', wide: true },
    { header: 'DETAIL', cell: (one) => one.error?.message || (one.detail ?? '') },
  ],
  name: (one) => one.id ?? '',
  json: (one) => toPlain(v1.Operation, one),
  details: (one, now) => [
    ['Operation', one.id ?? ''],
    ['Kind', one.kind ?? ''],
    ['Target', one.targetName ? `${one.targetName} (${one.target ?? ''})` : (one.target ?? '')],
    ['State', `${operationState(one.state)}, ${one.percent ?? 0}%`],
    ['Doing', one.detail ?? ''],
    ['Steps', stepsOf(one)],
    ['Placement', placementOf(one)],
    ['Error', errorOf(one)],
    ['Asked by', one.createdBy ?? ''],
    ['Started', bothTimes(one.createTime, now)],
    ['Ended', bothTimes(one.endTime, now)],
    ['Took', duration(one, now)],
  ],
};

/** Milliseconds; empty while it runs. */
function took(operation: Operation): number | string {
  const start = fromWireTime(operation.createTime);
  const end = fromWireTime(operation.endTime);
  return start === undefined || end === undefined ? '' : end - start;
}
