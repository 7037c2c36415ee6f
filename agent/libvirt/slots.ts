/** A counting semaphore whose waiters can give up. */
export interface Slots {
  /**
   * Runs `start(item)` now, or when a slot is free. Returns a way to give up waiting, which says whether it was in time;
   * undefined when there was no waiting.
   */
  take<T>(item: T, start: (item: T) => void): (() => boolean) | undefined;
  release(): void;
}

export function createSlots(limit: number): Slots {
  let used = 0;
  const queue = new Set<() => void>();
  return {
    take(item, start) {
      if (used < limit) {
        used++;
        start(item);
        return undefined;
      }
      const waiter = (): void => {
        start(item);
      };
      queue.add(waiter);
      return () => queue.delete(waiter);
    },
    release() {
      for (const next of queue) {
        // The slot passes on: `used` stays.
        queue.delete(next);
        next();
        return;
      }
      used--;
    },
  };
}
