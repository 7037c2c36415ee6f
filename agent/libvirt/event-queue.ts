/** A bounded queue between the socket and one reader of events. */

/**
 * Events are missing before this place: re-list what they would have told. `overflow`: the reader was too slow and `lost`
 * events were dropped; `reconnected`: the daemon was away, nobody knows how many.
 */
export interface Resync {
  readonly kind: 'resync';
  readonly reason: 'overflow' | 'reconnected';
  readonly lost: number;
}

/** Events as they come; one reader. Iteration ends at `close`. */
export interface EventStream<E> extends AsyncIterable<E | Resync> {
  /** Stops it and unregisters what nobody else listens to. Repeats do nothing. */
  close(): void;
}

export interface EventQueue<E> {
  push(event: E): void;
  resync(reason: Resync['reason']): void;
  end(): void;
  next(): Promise<IteratorResult<E | Resync, undefined>>;
}

export function createEventQueue<E>(limit: number): EventQueue<E> {
  let items: (E | Resync)[] = [];
  let lost = 0;
  let marker: Resync['reason'] | undefined;
  let ended = false;
  const readers: ((r: IteratorResult<E | Resync, undefined>) => void)[] = [];

  /** The marker stands before everything that is queued: what follows it is complete. */
  const take = (): E | Resync | undefined => {
    if (marker !== undefined) {
      const m: Resync = { kind: 'resync', reason: marker, lost };
      marker = undefined;
      lost = 0;
      return m;
    }
    return items.shift();
  };
  const wake = (): void => {
    while (readers.length > 0) {
      const value = take();
      if (value === undefined) return;
      readers.shift()?.({ done: false, value });
    }
  };
  /** Everything queued is older than the gap, so that a re-listing covers it. */
  const drop = (reason: Resync['reason']): void => {
    lost += items.length;
    items = [];
    marker = marker === 'reconnected' ? marker : reason;
  };
  return {
    push(event) {
      if (ended) return;
      if (items.length >= limit) drop('overflow');
      items.push(event);
      wake();
    },
    resync(reason) {
      if (ended) return;
      drop(reason);
      wake();
    },
    end() {
      ended = true;
      items = [];
      marker = undefined;
      for (const r of readers.splice(0)) r({ done: true, value: undefined });
    },
    next() {
      const value = take();
      if (value !== undefined) return Promise.resolve({ done: false, value });
      if (ended) return Promise.resolve({ done: true, value: undefined });
      return new Promise((resolve) => readers.push(resolve));
    },
  };
}
