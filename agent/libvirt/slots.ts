/** A counting semaphore whose waiters can give up. */
export interface Slots {
  /** Runs `start` now or when a slot is free. Returns a way to give up waiting, which says whether it was in time. */
  take(start: () => void): () => boolean;
  release(): void;
  readonly waiting: number;
}

export function createSlots(limit: number): Slots {
  let used = 0;
  const queue = new Set<() => void>();
  return {
    take(start) {
      if (used < limit) {
        used++;
        start();
        return () => false;
      }
      const waiter = (): void => start();
      queue.add(waiter);
      return () => queue.delete(waiter);
    },
    release() {
      const next = queue.values().next();
      if (next.done === true) {
        used--;
        return;
      }
      // The slot passes on: `used` stays.
      queue.delete(next.value);
      next.value();
    },
    get waiting() {
      return queue.size;
    },
  };
}
