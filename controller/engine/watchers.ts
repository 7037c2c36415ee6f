import { OstlerError } from '../../proto/kit/errors.js';
import type { Clock } from '../../proto/kit/clock.js';
import type { OperationDoc } from '../core/model.js';
import { commandIdOf, isFinished } from '../core/operations/advance.js';
import { machineOf } from '../core/operations/table.js';
import type { Store } from '../store/store.js';
import type { CommandProgress } from './env.js';

/** Those who wait for an operation, and what its command says of its progress; both are forgotten at a restart. */
export interface Watchers {
  present(op: OperationDoc): OperationDoc;
  progress(operationId: string, commandId: string, progress: CommandProgress): void;
  wait(
    operationId: string,
    options: { timeoutMs: number; untilChange: boolean; signal: AbortSignal },
  ): Promise<OperationDoc>;
  close(): void;
}

export function createWatchers(deps: { readonly store: Store; readonly clock: Clock }): Watchers {
  const { store, clock } = deps;
  const waiting = new Map<string, Set<() => void>>();
  const reported = new Map<string, { readonly commandId: string; readonly progress: CommandProgress }>();

  const wake = (id: string): void => waiting.get(id)?.forEach((listener) => listener());
  const stop = store.subscribe((changed) => {
    for (const { kind, id } of changed) {
      if (kind !== 'operation') continue;
      const op = store.get('operation', id)?.value;
      if (op === undefined || isFinished(op)) reported.delete(id);
      wake(id);
    }
  });

  function present(op: OperationDoc): OperationDoc {
    const report = reported.get(op.id);
    if (report === undefined || report.commandId !== commandIdOf(op)) return op;
    return { ...op, ...overlay(op, report.progress) };
  }

  function read(id: string): OperationDoc {
    const op = store.get('operation', id)?.value;
    if (op !== undefined) return op;
    throw new OstlerError('NOT_FOUND', `There is no operation ${id}.`, {
      remedy: 'List them with `ostler op list`; finished ones are kept for a week.',
    });
  }

  return {
    present,
    progress: (id, commandId, progress) => {
      reported.set(id, { commandId, progress });
      wake(id);
    },
    wait: async (id, { timeoutMs, untilChange, signal }) => {
      const over = new AbortController();
      const end = AbortSignal.any([signal, over.signal]);
      let changed = false;
      try {
        const timer = clock.sleep(timeoutMs, end).then(
          () => 'timeout' as const,
          () => 'timeout' as const,
        );
        for (;;) {
          const op = read(id);
          if (isFinished(op) || (untilChange && changed)) return present(op);
          if ((await Promise.race([timer, nextWake(waiting, id, end)])) === 'timeout') return present(read(id));
          changed = true;
        }
      } finally {
        over.abort();
      }
    },
    close: stop,
  };
}

function nextWake(waiting: Map<string, Set<() => void>>, id: string, end: AbortSignal): Promise<'wake'> {
  return new Promise((resolve) => {
    const listeners = waiting.get(id) ?? new Set<() => void>();
    waiting.set(id, listeners);
    const done = (): void => {
      listeners.delete(done);
      if (listeners.size === 0 && waiting.get(id) === listeners) waiting.delete(id);
      end.removeEventListener('abort', done);
      resolve('wake');
    };
    listeners.add(done);
    end.addEventListener('abort', done, { once: true });
  });
}

/** The command's percent are those between its step's begin and the next step's. */
function overlay(op: OperationDoc, progress: CommandProgress): Pick<OperationDoc, 'percent' | 'detail'> {
  const rules = machineOf(op.kind).steps;
  const from = rules[op.cursor.step]?.from ?? 0;
  const later = Object.values(rules)
    .filter((rule) => rule.undoes !== true && rule.from > from)
    .map((rule) => rule.from);
  const to = Math.min(100, ...later);
  const percent = Math.max(op.percent, Math.round(from + ((to - from) * Math.min(100, progress.percent)) / 100));
  return { percent: Math.min(99, percent), detail: progress.detail === '' ? op.detail : progress.detail };
}
