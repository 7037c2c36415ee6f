import { createHash } from 'node:crypto';
import { z } from 'zod';
import { invalidField, OstlerError } from '../../proto/kit/errors.js';
import { matchesFilter, parseFilter, type FilterKeys, type FilterTerm } from '../core/filter.js';
import { compareKeys, parseOrder, type Order, type SortKey } from '../core/order.js';

const PAGE_DEFAULT = 100;
const PAGE_MAX = 1000;

export interface ListRequest {
  readonly pageSize: number;
  readonly pageToken: string;
  readonly filter: string;
}

export function pageSizeOf(asked: number): number {
  return asked === 0 ? PAGE_DEFAULT : Math.min(asked, PAGE_MAX);
}

/** INVALID_FIELD naming the term at fault. */
export function filterTerms(text: string, known: FilterKeys): readonly FilterTerm[] {
  const parsed = parseFilter(text, known);
  if (parsed.ok) return parsed.terms;
  throw invalidField('filter', parsed.problem, 'Write terms like `state=RUNNING name:web`, joined by spaces.');
}

export function orderOf<K extends string>(text: string, keys: readonly [K, ...K[]]): Order<K> {
  const order = parseOrder(text, keys);
  if (order !== undefined) return order;
  throw invalidField('order_by', 'is not a known order', `Use one of: ${keys.join(', ')}; \` desc\` may follow.`);
}

/**
 * A page token is a place, not a count: the sort key and id after which the next page begins. So entries that come or go between
 * two pages neither shift nor repeat the rest. It counts for the query that it came from only, and grants nothing.
 */
const placeSchema = z.strictObject({
  q: z.string(),
  k: z.union([z.string(), z.number()]),
  i: z.string(),
});

function queryHash(parts: readonly string[]): string {
  return createHash('sha256').update(JSON.stringify(parts)).digest('base64url').slice(0, 16);
}

export function encodeToken(value: unknown): string {
  return Buffer.from(JSON.stringify(value)).toString('base64url');
}

/** BAD_TOKEN naming the field for anything that `encodeToken` did not make for this schema. */
export function decodeToken<S extends z.ZodType>(token: string, schema: S, field: string): z.output<S> {
  const bad = (): OstlerError =>
    new OstlerError('BAD_TOKEN', `${field}: is not a token of this list`, {
      field,
      remedy: 'Start again without a token.',
    });
  if (token.length > 2048) throw bad();
  let raw: unknown;
  try {
    raw = JSON.parse(Buffer.from(token, 'base64url').toString('utf8'));
  } catch {
    throw bad();
  }
  const parsed = schema.safeParse(raw);
  if (!parsed.success) throw bad();
  return parsed.data;
}

export interface Listing<T, K extends string> {
  readonly request: ListRequest & { readonly orderBy?: string };
  /** What else decides on the result: another value makes another query. */
  readonly variant?: string;
  readonly known: FilterKeys;
  readonly read: (item: T, key: string) => string | readonly string[] | undefined;
  readonly orders: readonly [K, ...K[]];
  readonly sortKey: (item: T, key: K) => SortKey;
  readonly id: (item: T) => string;
}

export interface Page<T> {
  readonly items: readonly T[];
  readonly nextPageToken: string;
  readonly totalSize: number;
}

/** Filters, sorts and cuts out one page. */
export function listPage<T, K extends string>(all: Iterable<T>, listing: Listing<T, K>): Page<T> {
  const { request } = listing;
  const terms = filterTerms(request.filter, listing.known);
  const order = orderOf(request.orderBy ?? '', listing.orders);
  const query = queryHash([request.filter, request.orderBy ?? '', listing.variant ?? '', ...listing.orders]);
  const after = request.pageToken === '' ? undefined : placeOf(request.pageToken, query);
  const found: { readonly item: T; readonly key: readonly [SortKey, string] }[] = [];
  for (const item of all) {
    if (!matchesFilter(terms, (key) => listing.read(item, key))) continue;
    found.push({ item, key: [listing.sortKey(item, order.key), listing.id(item)] });
  }
  found.sort((a, b) => compareKeys(a.key, b.key, order.descending));
  const rest = after === undefined ? found : found.filter(({ key }) => compareKeys(key, after, order.descending) > 0);
  const page = rest.slice(0, pageSizeOf(request.pageSize));
  const last = page.at(-1);
  const more = last !== undefined && rest.length > page.length;
  return {
    items: page.map(({ item }) => item),
    nextPageToken: more ? encodeToken({ q: query, k: last.key[0], i: last.key[1] }) : '',
    totalSize: found.length,
  };
}

function placeOf(token: string, query: string): readonly [SortKey, string] {
  const place = decodeToken(token, placeSchema, 'page_token');
  if (place.q === query) return [place.k, place.i];
  throw new OstlerError('BAD_TOKEN', 'page_token: came from another filter or order', {
    field: 'page_token',
    remedy: 'Keep filter and order_by while turning pages.',
  });
}
