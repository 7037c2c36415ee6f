/** `order_by` of list methods: `name`, `create_time desc`. Ties break by id, so that pages never overlap. */
export interface Order<K extends string> {
  readonly key: K;
  readonly descending: boolean;
}

/** Undefined: not one of the keys, or not of the form. Empty text: the first key, ascending. */
export function parseOrder<K extends string>(text: string, keys: readonly [K, ...K[]]): Order<K> | undefined {
  const words = text.split(/\s+/).filter((word) => word !== '');
  const [name, direction, ...rest] = words;
  if (name === undefined) return { key: keys[0], descending: false };
  const key = keys.find((one) => one === name);
  if (key === undefined || rest.length > 0 || (direction !== undefined && direction !== 'asc' && direction !== 'desc'))
    return undefined;
  return { key, descending: direction === 'desc' };
}

export type SortKey = string | number;

/** By key, then by id. Text is compared by code units: the same everywhere, whatever the locale. */
export function compareKeys(a: readonly [SortKey, string], b: readonly [SortKey, string], descending: boolean): number {
  const sign = descending ? -1 : 1;
  if (a[0] !== b[0]) return (a[0] < b[0] ? -1 : 1) * sign;
  if (a[1] !== b[1]) return (a[1] < b[1] ? -1 : 1) * sign;
  return 0;
}
