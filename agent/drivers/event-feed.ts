/** A queue between one writer and one reader of an async iteration; it ends with the signal. */
export interface EventFeed<T> extends AsyncIterable<T> {
  push(item: T): void;
}

/** `overflow` takes the place of everything queued when the reader is `limit` items behind. */
export function createEventFeed<T>(signal: AbortSignal, options: { limit: number; overflow: T }): EventFeed<T> {
  let items: T[] = [];
  let wake: (() => void) | undefined;
  const stir = (): void => {
    wake?.();
    wake = undefined;
  };
  signal.addEventListener('abort', stir, { once: true });
  return {
    push(item) {
      if (signal.aborted) return;
      if (items.length >= options.limit) items = [options.overflow];
      items.push(item);
      stir();
    },
    async *[Symbol.asyncIterator]() {
      while (!signal.aborted) {
        const item = items.shift();
        if (item !== undefined) yield item;
        else await new Promise<void>((resolve) => (wake = resolve));
      }
    },
  };
}
