/**
 * One job for all who want its result at the same time. Each waiter may give up by its own signal; the job is aborted
 * when nobody waits any more.
 */
export interface SharedJobs<T> {
  join(
    key: string,
    progress: (percent: number) => void,
    signal: AbortSignal,
    job: (progress: (percent: number) => void, signal: AbortSignal) => Promise<T>,
  ): Promise<T>;
}

interface Running<T> {
  readonly result: Promise<T>;
  readonly abort: AbortController;
  readonly listeners: Set<(percent: number) => void>;
}

export function createSharedJobs<T>(): SharedJobs<T> {
  const jobs = new Map<string, Running<T>>();

  const begin = (key: string, job: Parameters<SharedJobs<T>['join']>[3]): Running<T> => {
    const abort = new AbortController();
    const listeners = new Set<(percent: number) => void>();
    const report = (percent: number): void => {
      for (const listener of listeners) listener(percent);
    };
    const result = job(report, abort.signal).finally(() => jobs.delete(key));
    result.catch(() => undefined);
    const running = { result, abort, listeners };
    jobs.set(key, running);
    return running;
  };

  return {
    async join(key, progress, signal, job) {
      signal.throwIfAborted();
      // One that is being aborted has to end first: it is taking back what the new one would make.
      for (let dying = jobs.get(key); dying?.abort.signal.aborted === true; dying = jobs.get(key))
        await dying.result.catch(() => undefined);
      return wait(jobs.get(key) ?? begin(key, job), progress, signal);
    },
  };
}

function wait<T>(running: Running<T>, progress: (percent: number) => void, signal: AbortSignal): Promise<T> {
  // An object of its own, so that the same function given twice counts twice.
  const listener = (percent: number): void => progress(percent);
  running.listeners.add(listener);
  return new Promise<T>((resolve, reject) => {
    const leave = (): void => {
      running.listeners.delete(listener);
      // The last to leave waits for the job's own end, so that what it made is gone before anybody hears of it.
      if (running.listeners.size === 0) running.abort.abort(signal.reason);
      else reject(signal.reason as Error);
    };
    signal.addEventListener('abort', leave, { once: true });
    running.result.then(resolve, reject).finally(() => {
      signal.removeEventListener('abort', leave);
      running.listeners.delete(listener);
    });
  });
}
